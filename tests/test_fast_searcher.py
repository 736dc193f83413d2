"""FastLuceneImpactSearcher, compared with Pyserini's LuceneImpactSearcher."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splade_anserini.errors import InputError
from splade_anserini.lucene import FastLuceneImpactSearcher, IndexOptions
from tests.impact_fixtures import random_vectors

pytestmark = pytest.mark.slow

TEXTS = [" ".join(f"t{(number * step) % 45}" for step in range(1, 2 + number % 6)) for number in range(60)]


class WordCounter:
    """A query encoder: the impact of a word is the number of its occurrences."""

    def encode(self, text: str) -> dict[str, int]:
        words = text.split()
        return {word: words.count(word) for word in words}


class Number:
    """A query encoder: the text is the impact of t1."""

    def encode(self, text: str) -> dict[str, float]:
        return {"t1": float(text)}


@pytest.fixture(scope="module")
def directory(shared_index: Any) -> Path:
    vectors = {id_: vector | {"the": 1} for id_, vector in random_vectors(3, 400).items()}
    path: Path = shared_index(vectors, IndexOptions(threads=2, store_text=True))
    return path


@pytest.fixture(scope="module", params=[-1, 0, 1.5], ids=lambda min_idf: f"min_idf={min_idf}")
def both(request: pytest.FixtureRequest, directory: Path) -> Iterator[tuple[FastLuceneImpactSearcher, Any]]:
    from splade_anserini.lucene import LuceneImpactSearcher

    with FastLuceneImpactSearcher(directory, WordCounter(), min_idf=request.param) as fast:
        pyserinis = LuceneImpactSearcher(str(directory), WordCounter(), min_idf=request.param)
        yield fast, pyserinis
        pyserinis.close()


def rows(hits: Any) -> list[tuple[str, int, int]]:
    # Anserini subtracts millionths from tied scores, as far as float32 can represent them.
    return [(hit.docid, round(hit.score), hit.lucene_docid) for hit in hits]


@pytest.mark.parametrize("hits", [1, 10, 1000])
def test_search_returns_the_hits_of_pyserinis_searcher(both: Any, hits: int) -> None:
    fast, pyserinis = both
    for text in [*TEXTS, "the", "the t1", "unknown", ""]:
        assert rows(fast.search(text, hits)) == rows(pyserinis.search(text, hits)), text


@pytest.mark.parametrize("threads", [1, 2])
def test_batch_search_returns_the_hits_of_pyserinis_searcher(both: Any, threads: int) -> None:
    fast, pyserinis = both
    ids = [f"q{number}" for number in range(len(TEXTS))]
    results = fast.batch_search(TEXTS, ids, k=20, threads=threads)
    expected = pyserinis.batch_search(TEXTS, ids, k=20, threads=threads)
    assert list(results) == ids
    assert {id_: rows(hits) for id_, hits in results.items()} == {id_: rows(hits) for id_, hits in expected.items()}


@pytest.mark.parametrize("name", ["docid", "lucene_docid"])
def test_documents_are_those_of_pyserinis_searcher(both: Any, name: str) -> None:
    fast, pyserinis = both
    assert fast.num_docs == pyserinis.num_docs == 400
    docid = getattr(fast.search("t1", 1)[0], name)
    document, expected = fast.doc(docid), pyserinis.doc(docid)
    for method in ("id", "docid", "raw", "contents"):
        assert getattr(document, method)() == getattr(expected, method)()
    assert document.get("raw") == expected.get("raw")


@pytest.mark.parametrize("docid", ["nobody", 400, -1])
def test_there_is_no_document_with_an_unknown_id(directory: Path, docid: str | int) -> None:
    with FastLuceneImpactSearcher(directory, WordCounter()) as searcher:
        assert searcher.doc(docid) is None


def test_the_docstring_lists_what_pyserinis_searcher_has_and_this_one_lacks() -> None:
    from splade_anserini.lucene import LuceneImpactSearcher

    pyserinis = {name for name in vars(LuceneImpactSearcher) if not name.startswith("_")}
    lacking = {name for name in pyserinis if not hasattr(FastLuceneImpactSearcher, name)}
    assert pyserinis - lacking == {"search", "batch_search", "doc", "close"}
    assert all(f"`{name}`" in str(FastLuceneImpactSearcher.__doc__) for name in lacking)


def test_weights_may_be_integers_of_any_type(directory: Path) -> None:
    with FastLuceneImpactSearcher(directory, Number()) as searcher:  # type: ignore[arg-type]
        assert len(searcher.search("2.0")) == 10


@pytest.mark.parametrize("weight", ["1.5", "-1"])
def test_a_weight_that_is_not_a_non_negative_integer_is_refused(directory: Path, weight: str) -> None:
    with (
        FastLuceneImpactSearcher(directory, Number()) as searcher,  # type: ignore[arg-type]
        pytest.raises(InputError, match="non-negative integers"),
    ):
        searcher.search(weight)


def test_a_query_without_an_id_is_refused(directory: Path) -> None:
    with (
        FastLuceneImpactSearcher(directory, WordCounter()) as searcher,
        pytest.raises(InputError, match=r"There are 1 query and 2 ids.\nExpected one id for each query"),
    ):
        searcher.batch_search(["1"], ["a", "b"])


def test_the_name_of_an_encoder_is_refused(directory: Path) -> None:
    with pytest.raises(InputError, match="OnnxQueryEncoder"):
        FastLuceneImpactSearcher(directory, "splade-mini")  # type: ignore[arg-type]
