"""Our searcher under the interface of Pyserini's LuceneImpactSearcher, beside Pyserini's own."""

from pathlib import Path
from typing import Any

import pytest

from splade_anserini.errors import InputError
from splade_anserini.index import index
from splade_anserini.lucene import FastLuceneImpactSearcher, IndexOptions
from tests.pseudo import random_vectors, write_encoded

pytestmark = pytest.mark.slow

TEXTS = [" ".join(f"t{(number * step) % 45}" for step in range(1, 2 + number % 6)) for number in range(60)]


class Words:
    """A query encoder: each word counts as often as it occurs."""

    def encode(self, text: str) -> dict[str, int]:
        words = text.split()
        return {word: words.count(word) for word in words}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("searchers")
    everywhere = {id_: vector | {"the": 1} for id_, vector in random_vectors(3, 400).items()}
    write_encoded(home / "impacts", everywhere)
    index(home / "impacts", home / "index", IndexOptions(threads=2, store_text=True))
    return home / "index"


@pytest.fixture(scope="module", params=[-1, 0, 1.5])
def both(request: pytest.FixtureRequest, directory: Path) -> Any:
    from splade_anserini.lucene import LuceneImpactSearcher

    with FastLuceneImpactSearcher(directory, Words(), min_idf=request.param) as ours:
        theirs = LuceneImpactSearcher(str(directory), Words(), min_idf=request.param)
        yield ours, theirs
        theirs.close()


def rows(hits: Any) -> list[tuple[str, int, int]]:
    # Anserini takes millionths off tied scores, as far as float32 can tell.
    return [(hit.docid, round(hit.score), hit.lucene_docid) for hit in hits]


@pytest.mark.parametrize("hits", [1, 10, 1000])
def test_search_finds_what_pyserinis_finds(both: Any, hits: int) -> None:
    ours, theirs = both
    for text in [*TEXTS, "the", "the t1", "unknown", ""]:
        assert rows(ours.search(text, hits)) == rows(theirs.search(text, hits)), text


@pytest.mark.parametrize("threads", [1, 2])
def test_batch_search_finds_what_pyserinis_finds(both: Any, threads: int) -> None:
    ours, theirs = both
    ids = [f"q{number}" for number in range(len(TEXTS))]
    found = ours.batch_search(TEXTS, ids, k=20, threads=threads)
    expected = theirs.batch_search(TEXTS, ids, k=20, threads=threads)
    assert list(found) == ids
    assert {id_: rows(hits) for id_, hits in found.items()} == {id_: rows(hits) for id_, hits in expected.items()}


def test_documents_are_those_of_pyserini(both: Any) -> None:
    ours, theirs = both
    assert ours.num_docs == theirs.num_docs == 400
    hit = ours.search("t1", 1)[0]
    for name in (hit.docid, hit.lucene_docid):
        mine, other = ours.doc(name), theirs.doc(name)
        assert (mine.id(), mine.docid(), mine.raw(), mine.contents()) == (
            other.id(),
            other.docid(),
            other.raw(),
            other.contents(),
        )
    assert ours.doc("nobody") is None
    assert ours.doc(400) is None


def test_what_a_query_cannot_hold_is_refused(directory: Path) -> None:
    class Odd:
        def encode(self, text: str) -> dict[str, float]:
            return {"t1": float(text)}

    with FastLuceneImpactSearcher(directory, Odd()) as searcher:  # type: ignore[arg-type]
        assert len(searcher.search("2.0")) == 10
        for weight in ("1.5", "-1"):
            with pytest.raises(InputError, match="whole numbers from 0"):
                searcher.search(weight)
        with pytest.raises(InputError, match="one id a query"):
            searcher.batch_search(["1"], ["a", "b"])
    with pytest.raises(InputError, match="OnnxQueryEncoder"):
        FastLuceneImpactSearcher(directory, "splade-mini")  # type: ignore[arg-type]
