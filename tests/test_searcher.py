import json
import random
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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
from splade_anserini.lucene.index_reader import share_ids
from splade_anserini.records import ImpactDocument, ImpactVector, Query
from tests.impact_fixtures import ANIMALS, UNUSUAL, documents, random_vectors, write_documents

type LuceneSearcher = ImpactSearcher | PyseriniImpactSearcher
type OpenIndexOf = Callable[[dict[str, dict[str, int]]], LuceneSearcher]


def search(searcher: Searcher, queries: dict[str, ImpactVector], hits: int = 1000) -> dict[str, list[ScoredDoc]]:
    return dict(searcher.search(queries, hits))


def search_by_brute_force(
    vectors: dict[str, dict[str, int]], queries: dict[str, ImpactVector], hits: int = 1000
) -> dict[str, list[ScoredDoc]]:
    return search(BruteForceSearcher(documents(vectors)), queries, hits)


@pytest.fixture(
    params=[
        pytest.param((ImpactSearcher, 1), id="ImpactSearcher, one thread"),
        pytest.param((ImpactSearcher, 3), id="ImpactSearcher, three threads"),
        pytest.param((PyseriniImpactSearcher, 2), id="PyseriniImpactSearcher"),
    ]
)
def open_index_of(request: pytest.FixtureRequest, shared_index: Any) -> Iterator[OpenIndexOf]:
    """Return a function that opens an index of vectors; the test runs with each kind of searcher."""
    kind, threads = request.param
    searchers: list[LuceneSearcher] = []

    def open_index(vectors: dict[str, dict[str, int]]) -> LuceneSearcher:
        searchers.append(kind(shared_index(vectors, IndexOptions(threads=3, optimize=False)), threads))
        return searchers[-1]

    yield open_index
    for searcher in searchers:
        searcher.close()


@pytest.fixture(params=["brute force", pytest.param("Lucene", marks=pytest.mark.slow)])
def animals(request: pytest.FixtureRequest, open_index_of: OpenIndexOf) -> Searcher:
    return BruteForceSearcher(documents(ANIMALS)) if request.param == "brute force" else open_index_of(ANIMALS)


def test_a_score_is_the_dot_product(animals: Searcher) -> None:
    assert search(animals, {"q": {"cat": 2, "dog": 10}}) == {
        "q": [ScoredDoc("q", "d2", 50), ScoredDoc("q", "d1", 16), ScoredDoc("q", "d3", 2)]
    }


def test_only_the_best_hits_are_returned(animals: Searcher) -> None:
    assert search(animals, {"q": {"cat": 2, "dog": 10}}, 1) == {"q": [ScoredDoc("q", "d2", 50)]}


def test_rankings_are_in_the_order_of_the_queries_including_those_without_hits(animals: Searcher) -> None:
    rankings = search(animals, {"z": {"fish": 1}, "empty": {}, "unknown": {"whale": 3}, "a": {"bird": 1}})
    assert list(rankings) == ["z", "empty", "unknown", "a"]
    assert [len(ranking) for ranking in rankings.values()] == [1, 0, 0, 1]


def test_no_queries_have_no_rankings(animals: Searcher) -> None:
    assert search(animals, {}) == {}


def test_each_kind_is_a_searcher(animals: Searcher) -> None:
    assert isinstance(animals, Searcher)


@pytest.mark.slow
@pytest.mark.parametrize("hits", [1, 7, 200, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_lucene_ranks_as_brute_force_does_including_ties(open_index_of: OpenIndexOf, seed: int, hits: int) -> None:
    vectors = random_vectors(seed, 300)
    chance = random.Random(seed)
    queries: dict[str, ImpactVector] = {
        f"q{number}": {f"t{chance.randrange(45)}": chance.randint(1, 4) for _ in range(chance.randint(1, 6))}
        for number in range(40)
    }
    assert search(open_index_of(vectors), queries, hits) == search_by_brute_force(vectors, queries, hits)


@pytest.mark.slow
def test_a_term_that_all_documents_contain_counts(open_index_of: OpenIndexOf) -> None:
    searcher = open_index_of({"a": {"the": 1}, "b": {"the": 2}})
    assert [hit.doc_id for hit in search(searcher, {"q": {"the": 1}})["q"]] == ["b", "a"]


@pytest.mark.slow
def test_large_scores_are_rounded_to_float32_as_in_lucene(open_index_of: OpenIndexOf) -> None:
    vectors = {"a": {"x": 30_000, "y": 7}, "b": {"x": 30_000, "y": 8}}
    queries: dict[str, ImpactVector] = {"q": {"x": 1000, "y": 1}}
    assert search(open_index_of(vectors), queries) == search_by_brute_force(vectors, queries)


@pytest.mark.slow
def test_ids_and_tokens_may_be_any_text(open_index_of: OpenIndexOf) -> None:
    queries: dict[str, ImpactVector] = {f"frage ß {id_}": vector for id_, vector in UNUSUAL.items()}
    assert search(open_index_of(UNUSUAL), queries) == search_by_brute_force(UNUSUAL, queries)


@pytest.mark.slow
def test_a_query_may_have_more_than_1024_terms(open_index_of: OpenIndexOf) -> None:
    vector = {f"t{number}": 1 + number % 3 for number in range(5000)}
    vectors = {"d": vector, "e": {"t4999": 9}}
    queries: dict[str, ImpactVector] = {"q": vector}
    assert search(open_index_of(vectors), queries) == search_by_brute_force(vectors, queries)


@pytest.mark.slow
def test_rankings_of_more_queries_than_a_batch_are_in_order(open_index_of: OpenIndexOf) -> None:
    queries: dict[str, ImpactVector] = {str(number): {"cat": 1 + number} for number in range(100)}
    rankings = search(open_index_of(ANIMALS), queries)
    assert rankings == search_by_brute_force(ANIMALS, queries)
    assert list(rankings) == list(queries)


@pytest.mark.slow
def test_a_tie_at_the_end_is_broken_by_the_ids_of_all_its_documents(open_index_of: OpenIndexOf) -> None:
    vectors = {f"d{number:03}": {"x": 2 if number == 250 else 1} for number in reversed(range(300))}
    ranking = search(open_index_of(vectors), {"q": {"x": 3}}, 5)["q"]
    assert [hit.doc_id for hit in ranking] == ["d250", "d000", "d001", "d002", "d003"]
    assert [hit.score for hit in ranking] == [6, 3, 3, 3, 3]


@pytest.mark.slow
def test_a_search_can_be_abandoned(open_index_of: OpenIndexOf) -> None:
    searcher = open_index_of(ANIMALS)
    rankings = searcher.search({str(number): {"cat": 1} for number in range(50)}, 10)
    assert next(rankings)[0] == "0"
    rankings.close()  # type: ignore[attr-defined]
    assert len(search(searcher, {"q": {"cat": 1}})["q"]) == 2


@pytest.mark.slow
def test_threads_that_share_a_searcher_get_their_own_rankings(open_index_of: OpenIndexOf) -> None:
    searcher = open_index_of({f"d{number}": {f"t{number}": 1} for number in range(100)})

    def has_own_rankings(start: int) -> bool:
        numbers = range(start, 100, 5)
        rankings = search(searcher, {f"q{n}": {f"t{n}": 2} for n in numbers})
        return rankings == {f"q{n}": [ScoredDoc(f"q{n}", f"d{n}", 2.0)] for n in numbers}

    with ThreadPoolExecutor(5) as pool:
        assert all(pool.map(has_own_rankings, range(5)))


@pytest.mark.slow
def test_ids_are_the_same_whether_they_are_looked_up_or_cached(tmp_path: Path) -> None:
    vectors = random_vectors(5, 3000)
    write_documents(tmp_path / "impacts" / "a.jsonl", documents(vectors))
    index(tmp_path / "impacts", tmp_path / "index")
    queries: dict[str, ImpactVector] = {"q": {"t1": 2, "t2": 1, "t3": 1}}
    expected = search_by_brute_force(vectors, queries, 100)
    with ImpactSearcher(tmp_path / "index") as searcher:
        assert search(searcher, queries, 100) == expected
        assert searcher._ids._cache is None
        for _ in range(30):
            assert search(searcher, queries, 100) == expected
        assert searcher._ids._cache is not None


@pytest.mark.slow
def test_the_path_of_an_index_may_be_a_string(shared_index: Any) -> None:
    path = str(shared_index(ANIMALS))
    assert count_index(path).documents == 4
    with ImpactSearcher(path) as searcher, PyseriniImpactSearcher(path) as pyserinis:
        assert search(searcher, {"q": {"cat": 1}}) == search(pyserinis, {"q": {"cat": 1}})


def test_stored_records_are_read_by_document_number(shared_index: Any) -> None:
    with ImpactSearcher(shared_index(ANIMALS, IndexOptions(store_text=True))) as searcher:
        ids, _, docs = searcher.rank({"cat": 1}, 10)
        records = [json.loads(record or "") for record in searcher.records([*docs, docs[0]])]
        assert [record["id"] for record in records] == [*ids, ids[0]] == ["d1", "d3", "d1"]
        assert records[0]["contents"] == "text of d1"
        assert searcher.records([]) == []
    with ImpactSearcher(shared_index(ANIMALS)) as searcher:
        assert searcher.records([0, 1]) == [None, None]


def test_records_are_those_of_documents_whatever_their_characters(tmp_path: Path) -> None:
    texts = {"d1": "naïve \u0000 😀", "d2": '"quoted" \\ line\nend', "d3": "a" * 100_000}
    lines = [json.dumps({"id": id_, "contents": text, "vector": {"cat": 1}}) for id_, text in texts.items()]
    (tmp_path / "vectors.jsonl").write_text("\n".join(lines))
    index(tmp_path / "vectors.jsonl", tmp_path / "index", IndexOptions(store_text=True))
    with ImpactSearcher(tmp_path / "index") as searcher:
        ranking = searcher.rank({"cat": 1}, 10)
        assert ranking.ids == sorted(texts)
        stored = searcher.stored(ranking.ids, ranking.docs)
        assert stored == [{"id": id_, "contents": texts[id_]} for id_ in ranking.ids]


@pytest.mark.parametrize("hits", [1, 3, 10, 200])
def test_a_batch_of_queries_has_the_hits_of_each(shared_index: Any, hits: int) -> None:
    vectors = random_vectors(5, 120)
    queries: list[ImpactVector] = [*list(vectors.values())[:20], {}, {"unknown": 3}, *UNUSUAL.values(), {"t1": 1}]
    with ImpactSearcher(shared_index({**vectors, **UNUSUAL}, IndexOptions(optimize=False))) as searcher:
        expected = [searcher.rank(query, hits) for query in queries]
        assert searcher.rank_all(queries, hits) == expected
        assert searcher.rank_all([], hits) == []
        assert searcher.rank_all([{}], hits) == [searcher.rank({}, hits)]


def test_count_index_returns_lucenes_counts(shared_index: Any) -> None:
    assert count_index(shared_index(ANIMALS)) == Counts(documents=4, postings=7, impacts=23)


@pytest.fixture(scope="module")
def invalid_indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("invalid")
    (home / "empty").mkdir()
    (home / "file").touch()
    (home / "other").mkdir()
    (home / "other" / "x").touch()
    (home / "damaged").mkdir()
    (home / "damaged" / "segments_1").write_bytes(b"nonsense")
    (home / "newer").mkdir()
    # The header of a file of Lucene: its magic number, the name of the format, the version of the format.
    header = struct.pack(">IB8sI", 0x3FD76C17, 8, b"segments", 99)
    (home / "newer" / "segments_1").write_bytes(header + bytes(64))
    return home


@pytest.mark.parametrize("open_index", [count_index, PyseriniImpactSearcher, ImpactSearcher])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "does not exist"),
        ("empty", "is not a Lucene index: it is empty"),
        ("file", "is a file"),
        ("other", "is not a Lucene index: it has no segments file"),
        ("damaged", r"was written by a Lucene that is too old, or is damaged: .*\nExpected an index that Lucene 10"),
        (
            "newer",
            r"was written by a newer Lucene than 10\.\d+\.\d+.\nExpected an index of Lucene .*\nUpgrade Pyserini",
        ),
    ],
)
def test_a_path_without_a_valid_index_is_refused(
    invalid_indexes: Path, name: str, message: str, open_index: Callable[[Path], object]
) -> None:
    with pytest.raises(InputError, match=message):
        open_index(invalid_indexes / name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "expected"),
    [({"d4": {"whale": 1}}, True), ({"e1": {"cat": 1}}, False)],
    ids=["a common id", "no common id"],
)
def test_two_indexes_share_ids_or_not(shared_index: Any, other: dict[str, dict[str, int]], expected: bool) -> None:
    assert share_ids(shared_index(ANIMALS), shared_index(other)) is expected
    assert share_ids(shared_index(other), shared_index(ANIMALS)) is expected


@pytest.mark.slow
def test_bm25_finds_stemmed_words_and_prefers_short_texts(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "a.jsonl").write_text(
        '{"id": "short", "contents": "a sleeping dog"}\n'
        '{"id": "long", "contents": "the dogs that run over the tree, the house and the river"}\n'
        '{"id": "other", "contents": "a cat"}\n'
    )
    build_bm25_index(str(tmp_path / "json"), str(tmp_path / "index"))
    rankings = dict(search_bm25(str(tmp_path / "index"), [Query("q", "dogs"), Query("none", "whale")], 10))
    assert [hit.doc_id for hit in rankings["q"]] == ["short", "long"]
    assert rankings["none"] == []


def test_brute_force_breaks_ties_by_code_point() -> None:
    searcher = BruteForceSearcher([ImpactDocument(id_, {"x": 1}) for id_ in ("b", "a", "10", "9", "é", "B")])
    assert [hit.doc_id for hit in search(searcher, {"q": {"x": 1}})["q"]] == ["10", "9", "B", "a", "b", "é"]
