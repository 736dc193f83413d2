import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ir_measures import ScoredDoc

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.errors import InputError
from splade_anserini.index import index
from splade_anserini.lucene import (
    BruteForceSearcher,
    ImpactSearcher,
    IndexOptions,
    PyseriniImpactSearcher,
    Searcher,
    build_bm25_index,
    count_index,
    search_bm25,
)
from splade_anserini.records import ImpactDocument, ImpactVector, Query
from tests.pseudo import ANIMALS, documents, random_vectors, write_documents, write_encoded

STRANGE = {
    "naïve": {"naïve": 2},
    "文書-1": {"日本": 3, "##語": 1},
    "😀": {"😀": 5, "cat": 1},
    'a"b\\c': {'"': 1, "\\": 2, "|": 3},
    "A" * 300: {"x" * 255: 4},
}


def ranked(searcher: Searcher, queries: dict[str, ImpactVector], hits: int = 1000) -> dict[str, list[ScoredDoc]]:
    return dict(searcher.search(queries, hits))


type Opened = ImpactSearcher | PyseriniImpactSearcher
type Opener = Callable[[dict[str, dict[str, int]]], Opened]


@pytest.fixture(
    params=[
        pytest.param((ImpactSearcher, 1), id="ours, one thread"),
        pytest.param((ImpactSearcher, 3), id="ours, three threads"),
        pytest.param((PyseriniImpactSearcher, 2), id="Pyserini's"),
    ]
)
def lucene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Index vectors and open them with each of the searchers."""
    kind, threads = request.param
    opened: list[Opened] = []

    def open_index(vectors: dict[str, dict[str, int]]) -> Opened:
        write_encoded(tmp_path / "impacts", vectors)
        index(tmp_path / "impacts", tmp_path / "index", IndexOptions(threads=3, optimize=False))
        opened.append(kind(tmp_path / "index", threads))
        return opened[0]

    yield open_index
    for searcher in opened:
        searcher.close()


@pytest.fixture(params=["brute force", pytest.param("lucene", marks=pytest.mark.slow)])
def animals(request: pytest.FixtureRequest, lucene: Opener) -> Searcher:
    return BruteForceSearcher(documents(ANIMALS)) if request.param == "brute force" else lucene(ANIMALS)


def test_a_score_is_the_dot_product(animals: Searcher) -> None:
    assert ranked(animals, {"q": {"cat": 2, "dog": 10}}) == {
        "q": [ScoredDoc("q", "d2", 50), ScoredDoc("q", "d1", 16), ScoredDoc("q", "d3", 2)]
    }


def test_only_the_best_are_returned(animals: Searcher) -> None:
    assert ranked(animals, {"q": {"cat": 2, "dog": 10}}, 1) == {"q": [ScoredDoc("q", "d2", 50)]}


def test_queries_come_back_in_order_and_those_that_find_nothing_too(animals: Searcher) -> None:
    found = ranked(animals, {"z": {"fish": 1}, "empty": {}, "unknown": {"whale": 3}, "a": {"bird": 1}})
    assert list(found) == ["z", "empty", "unknown", "a"]
    assert [len(ranking) for ranking in found.values()] == [1, 0, 0, 1]


def test_no_queries_give_no_rankings(animals: Searcher) -> None:
    assert ranked(animals, {}) == {}


def test_both_are_searchers(animals: Searcher) -> None:
    assert isinstance(animals, Searcher)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_lucene_ranks_as_brute_force_does_ties_included(lucene: Opener, seed: int) -> None:
    vectors = random_vectors(seed, 300)
    chance = random.Random(seed)
    queries: dict[str, ImpactVector] = {
        f"q{number}": {f"t{chance.randrange(45)}": chance.randint(1, 4) for _ in range(chance.randint(1, 6))}
        for number in range(40)
    }
    expected = BruteForceSearcher(documents(vectors))
    searcher = lucene(vectors)
    for hits in (1, 7, 200, 1000):
        assert ranked(searcher, queries, hits) == ranked(expected, queries, hits)


@pytest.mark.slow
def test_a_term_that_every_document_has_counts(lucene: Opener) -> None:
    vectors = {"a": {"the": 1}, "b": {"the": 2}}
    searcher = lucene(vectors)
    assert [hit.doc_id for hit in ranked(searcher, {"q": {"the": 1}})["q"]] == ["b", "a"]


@pytest.mark.slow
def test_large_scores_are_rounded_to_float32_as_lucene_does(lucene: Opener) -> None:
    vectors = {"a": {"x": 30_000, "y": 7}, "b": {"x": 30_000, "y": 8}}
    query: dict[str, ImpactVector] = {"q": {"x": 1000, "y": 1}}
    searcher = lucene(vectors)
    assert ranked(searcher, query) == ranked(BruteForceSearcher(documents(vectors)), query)


@pytest.mark.slow
def test_ids_and_tokens_may_be_any_text(lucene: Opener) -> None:
    queries: dict[str, ImpactVector] = {f"frage ß {id_}": vector for id_, vector in STRANGE.items()}
    searcher = lucene(STRANGE)
    assert ranked(searcher, queries) == ranked(BruteForceSearcher(documents(STRANGE)), queries)


@pytest.mark.slow
def test_a_query_may_have_more_than_1024_terms(lucene: Opener) -> None:
    vector = {f"t{number}": 1 + number % 3 for number in range(5000)}
    searcher = lucene({"d": vector, "e": {"t4999": 9}})
    queries: dict[str, ImpactVector] = {"q": vector}
    expected = BruteForceSearcher(documents({"d": vector, "e": {"t4999": 9}}))
    assert ranked(searcher, queries) == ranked(expected, queries)


@pytest.mark.slow
def test_more_queries_than_a_batch_come_back_in_order(lucene: Opener) -> None:
    queries: dict[str, ImpactVector] = {str(number): {"cat": 1 + number} for number in range(100)}
    searcher = lucene(ANIMALS)
    assert ranked(searcher, queries) == ranked(BruteForceSearcher(documents(ANIMALS)), queries)


@pytest.mark.slow
def test_a_tie_at_the_end_is_looked_at_whole(lucene: Opener) -> None:
    vectors = {f"d{number:03}": {"x": 2 if number == 250 else 1} for number in reversed(range(300))}
    found = ranked(lucene(vectors), {"q": {"x": 3}}, 5)["q"]
    assert [hit.doc_id for hit in found] == ["d250", "d000", "d001", "d002", "d003"]
    assert [hit.score for hit in found] == [6, 3, 3, 3, 3]


@pytest.mark.slow
def test_rankings_that_nobody_waits_for_do_no_harm(lucene: Opener) -> None:
    searcher = lucene(ANIMALS)
    some = searcher.search({str(number): {"cat": 1} for number in range(50)}, 10)
    assert next(some)[0] == "0"
    some.close()  # type: ignore[attr-defined]
    assert len(ranked(searcher, {"q": {"cat": 1}})["q"]) == 2


@pytest.mark.slow
def test_threads_that_share_a_searcher_get_what_they_asked_for(lucene: Opener) -> None:
    vectors = {f"d{number}": {f"t{number}": 1} for number in range(100)}
    searcher = lucene(vectors)

    def own(number: int) -> bool:
        found = ranked(searcher, {f"q{n}": {f"t{n}": 2} for n in range(number, 100, 5)})
        return found == {f"q{n}": [ScoredDoc(f"q{n}", f"d{n}", 2.0)] for n in range(number, 100, 5)}

    with ThreadPoolExecutor(5) as pool:
        assert all(pool.map(own, range(5)))


def test_an_index_is_counted_by_lucene(tmp_path: Path) -> None:
    write_documents(tmp_path / "impacts" / "a.jsonl", documents(ANIMALS))
    index(tmp_path / "impacts", tmp_path / "index")
    assert count_index(tmp_path / "index") == Counts(documents=4, postings=7, impacts=23)


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "segments_1").write_bytes(b"nonsense")
    for name, found in [
        ("none", "does not exist"),
        ("empty", "is empty"),
        ("file", "is a file"),
        ("other", "has no segments file"),
        ("damaged", "is a damaged Lucene index"),
    ]:
        for open_index in (count_index, PyseriniImpactSearcher, ImpactSearcher):
            with pytest.raises(InputError, match=found):
                open_index(tmp_path / name)


@pytest.mark.slow
def test_bm25_finds_stemmed_words_and_prefers_short_texts(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "a.jsonl").write_text(
        '{"id": "short", "contents": "a sleeping dog"}\n'
        '{"id": "long", "contents": "the dogs that run over the tree, the house and the river"}\n'
        '{"id": "other", "contents": "a cat"}\n'
    )
    build_bm25_index(tmp_path / "json", tmp_path / "index")
    found = dict(search_bm25(tmp_path / "index", [Query("q", "dogs"), Query("none", "whale")], 10))
    assert [hit.doc_id for hit in found["q"]] == ["short", "long"]
    assert found["none"] == []


def test_brute_force_breaks_ties_by_code_point() -> None:
    searcher = BruteForceSearcher([ImpactDocument(id_, {"x": 1}) for id_ in ("b", "a", "10", "9", "é", "B")])
    assert [hit.doc_id for hit in ranked(searcher, {"q": {"x": 1}})["q"]] == ["10", "9", "B", "a", "b", "é"]


@pytest.mark.slow
def test_ids_are_the_same_whether_they_are_looked_up_or_kept(tmp_path: Path) -> None:
    vectors = random_vectors(5, 3000)
    write_encoded(tmp_path / "impacts", vectors)
    index(tmp_path / "impacts", tmp_path / "index")
    query: dict[str, ImpactVector] = {"q": {"t1": 2, "t2": 1, "t3": 1}}
    expected = ranked(BruteForceSearcher(documents(vectors)), query, 100)
    with ImpactSearcher(tmp_path / "index") as searcher:
        for _ in range(30):
            assert ranked(searcher, query, 100) == expected
        assert searcher._ids._all is not None
