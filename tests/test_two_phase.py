"""Two phases: every score is exact, what is found is what the strongest tokens find, and what is lost is said."""

import random
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from ir_measures import ScoredDoc

from splade_anserini.errors import InputError
from splade_anserini.formats.runs import read_run
from splade_anserini.formats.topics import write_encoded_topics
from splade_anserini.index import index
from splade_anserini.lucene import BruteForceSearcher, ImpactSearcher, IndexOptions, Searcher, TwoPhaseSearcher
from splade_anserini.lucene.two_phase import default_candidates
from splade_anserini.records import ImpactVector
from splade_anserini.retrieval.overlap import OverlapWithExact, overlap
from splade_anserini.vectors.pruning import prune_top_k
from tests.pseudo import documents, random_vectors, write_encoded
from tests.running import run_stage

VECTORS = random_vectors(3, 400)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("two-phase")
    write_encoded(home / "impacts", VECTORS)
    index(home / "impacts", home / "index", IndexOptions(threads=3, optimize=False))
    return home / "index"


@pytest.fixture(scope="module", params=[1, 3], ids=["one thread", "three threads"])
def exact(place: Path, request: pytest.FixtureRequest) -> Iterator[ImpactSearcher]:
    with ImpactSearcher(place, request.param) as searcher:
        yield searcher


@pytest.fixture(scope="module")
def queries() -> dict[str, ImpactVector]:
    chance = random.Random(3)
    some: dict[str, ImpactVector] = {
        f"q{n}": {f"t{chance.randrange(45)}": chance.randint(1, 4) for _ in range(chance.randint(1, 9))}
        for n in range(25)
    }
    return some | {"empty": {}, "unknown": {"whale": 3}}


def specified(
    searcher: BruteForceSearcher, queries: Mapping[str, ImpactVector], terms: int, candidates: int, hits: int
) -> dict[str, list[ScoredDoc]]:
    """What two phases are: an exact search for the strongest tokens, whose hits are ranked by exact scores."""
    strongest = {query_id: prune_top_k(vector, terms) for query_id, vector in queries.items()}
    found = {}
    for query_id, ranking in searcher.search(strongest, candidates):
        ids = [hit.doc_id for hit in ranking]
        scores = searcher.scores(queries[query_id], ids)
        best = sorted(zip(scores, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))[:hits]
        found[query_id] = [ScoredDoc(query_id, id_, score) for score, id_ in best]
    return found


@pytest.mark.parametrize(("terms", "candidates", "hits"), [(1, 5, 5), (1, 20, 7), (2, 30, 10), (3, 400, 400)])
def test_lucene_finds_what_is_specified(
    exact: ImpactSearcher, queries: dict[str, ImpactVector], terms: int, candidates: int, hits: int
) -> None:
    found = dict(TwoPhaseSearcher(exact, terms, candidates).search(queries, hits))
    assert list(found) == list(queries)
    assert found == specified(BruteForceSearcher(documents(VECTORS)), queries, terms, candidates, hits)


def test_with_all_tokens_it_is_the_exact_search(exact: ImpactSearcher, queries: dict[str, ImpactVector]) -> None:
    two = TwoPhaseSearcher(exact, 9)
    assert isinstance(two, Searcher)
    assert dict(two.search(queries, 20)) == dict(exact.search(queries, 20))


def test_every_score_is_exact(exact: ImpactSearcher, queries: dict[str, ImpactVector]) -> None:
    for query_id, hits in TwoPhaseSearcher(exact, 1, 30).search(queries, 20):
        assert exact.scores(queries[query_id], [hit.doc_id for hit in hits]) == [hit.score for hit in hits]


def test_more_candidates_find_no_less(exact: ImpactSearcher, queries: dict[str, ImpactVector]) -> None:
    reference = {query_id: {hit.doc_id for hit in hits} for query_id, hits in exact.search(queries, 20)}
    found = [
        {id_: len({hit.doc_id for hit in hits} & reference[id_]) for id_, hits in two.search(queries, 20)}
        for two in (TwoPhaseSearcher(exact, 1, candidates) for candidates in (20, 40, 80, 400))
    ]
    for fewer, more in pairwise(found):
        assert all(more[query_id] >= count for query_id, count in fewer.items())


def test_there_is_no_first_phase_without_tokens(exact: ImpactSearcher) -> None:
    with pytest.raises(InputError, match="0 tokens"):
        TwoPhaseSearcher(exact, 0)


def test_overlap_is_the_share_of_the_exact_search_that_is_found() -> None:
    assert overlap(["a", "x", "b", "c"], ["a", "b", "c"], 2) == 0.5
    assert overlap(["a", "x", "b", "c"], ["c", "b", "a"], 10) == 1
    assert overlap([], ["a"], 10) == 0


def test_loss_is_a_mean_over_queries_that_find_something() -> None:
    def ranking(query_id: str, ids: str) -> tuple[str, list[ScoredDoc]]:
        return query_id, [ScoredDoc(query_id, id_, 1) for id_ in ids]

    loss = OverlapWithExact((2, 4))
    found = [ranking("p", "abcd"), ranking("q", ""), ranking("r", "azbc")]
    assert list(loss.watch(found, [ranking("p", "abcd"), ranking("q", ""), ranking("r", "abcd")])) == found
    assert str(loss) == "of the exact search, found 75.00% of the first 2 and 87.50% of the first 4"
    assert str(OverlapWithExact((10,))) == "the exact search finds nothing"


def test_the_command_says_what_is_lost(
    place: Path, queries: dict[str, ImpactVector], exact: ImpactSearcher, tmp_path: Path
) -> None:
    known = {query_id: vector for query_id, vector in queries.items() if vector}
    write_encoded_topics(tmp_path / "topics.tsv", known)

    def searched(*more: object) -> tuple[str, list[ScoredDoc]]:
        arguments = ("--topics", tmp_path / "topics.tsv", "--output", tmp_path / "run.txt", "--hits", 20)
        outcome = run_stage("search", "--index", place, "--pre-encoded", *arguments, *more)
        assert (outcome.code, outcome.err) == (0, "")
        return outcome.out, list(read_run(tmp_path / "run.txt"))

    out, run = searched("--two-step", 1, "--candidates", 25, "--check-exact")
    expected = dict(TwoPhaseSearcher(exact, 1, 25).search(known, 20))
    ids = [(hit.query_id, hit.doc_id) for hit in run]
    assert ids == [(hit.query_id, hit.doc_id) for hits in expected.values() for hit in hits]
    loss = OverlapWithExact((10, 20))
    assert len(list(loss.watch(expected.items(), exact.search(known, 20)))) == len(known)
    assert str(loss) in out
    assert "100.00% of the first 10" not in out
    assert "100.00% of the first 10 and 100.00% of the first 20" in searched("--two-step", 9, "--check-exact")[0]
    assert "100.00% of the first 10" not in searched("--query-top-k", 1, "--check-exact")[0]
    assert "exact" not in searched("--two-step", 1)[0]


def test_there_are_more_candidates_than_hits_and_not_so_many_that_the_exact_search_is_quicker() -> None:
    assert [default_candidates(hits) for hits in (1, 10, 100, 500, 501, 1000)] == [10, 100, 1000, 1000, 1002, 2000]
