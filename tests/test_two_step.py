"""Two-step search: every score is exact, the strongest tokens decide what is found, and the loss can be measured."""

import random
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ir_measures import ScoredDoc

from splade_anserini import lucene
from splade_anserini.errors import InputError
from splade_anserini.formats.runs import read_run
from splade_anserini.formats.topics import write_encoded_topics
from splade_anserini.lucene import BruteForceSearcher, ImpactSearcher, IndexOptions, Searcher, TwoStepSearcher
from splade_anserini.lucene.two_step import check_candidates, default_candidates
from splade_anserini.records import ImpactVector
from splade_anserini.retrieval.overlap import OverlapWithExact, overlap
from splade_anserini.vectors.pruning import prune_top_k
from tests.cli_runner import run_stage
from tests.impact_fixtures import documents, random_vectors

VECTORS = random_vectors(3, 400)


@pytest.fixture(scope="module")
def index_path(shared_index: Any) -> Path:
    path: Path = shared_index(VECTORS, IndexOptions(threads=3, optimize=False))
    return path


@pytest.fixture(scope="module", params=[1, 3], ids=["one thread", "three threads"])
def exact(index_path: Path, request: pytest.FixtureRequest) -> Iterator[ImpactSearcher]:
    with ImpactSearcher(index_path, request.param) as searcher:
        yield searcher


@pytest.fixture(scope="module")
def queries() -> dict[str, ImpactVector]:
    chance = random.Random(3)
    filled: dict[str, ImpactVector] = {
        f"q{n}": {f"t{chance.randrange(45)}": chance.randint(1, 4) for _ in range(chance.randint(1, 9))}
        for n in range(25)
    }
    return filled | {"empty": {}, "unknown": {"whale": 3}}


def two_step_by_definition(
    searcher: BruteForceSearcher, queries: Mapping[str, ImpactVector], terms: int, candidates: int, hits: int
) -> dict[str, list[ScoredDoc]]:
    """Search exactly for the strongest tokens, and rank the hits by their exact scores for the whole query."""
    pruned = {query_id: prune_top_k(vector, terms) for query_id, vector in queries.items()}
    rankings = {}
    for query_id, ranking in searcher.search(pruned, candidates):
        ids = [hit.doc_id for hit in ranking]
        scores = searcher.scores(queries[query_id], ids)
        best = sorted(zip(scores, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))[:hits]
        rankings[query_id] = [ScoredDoc(query_id, id_, score) for score, id_ in best]
    return rankings


@pytest.mark.parametrize(("terms", "candidates", "hits"), [(1, 5, 5), (1, 20, 7), (2, 30, 10), (3, 400, 400)])
def test_rankings_are_those_of_the_definition(
    exact: ImpactSearcher, queries: dict[str, ImpactVector], terms: int, candidates: int, hits: int
) -> None:
    rankings = dict(TwoStepSearcher(exact, terms, candidates).search(queries, hits))
    assert list(rankings) == list(queries)
    brute_force = BruteForceSearcher(documents(VECTORS))
    assert rankings == two_step_by_definition(brute_force, queries, terms, candidates, hits)


def test_with_all_tokens_it_is_the_exact_search(exact: ImpactSearcher, queries: dict[str, ImpactVector]) -> None:
    two_step = TwoStepSearcher(exact, 9)
    assert isinstance(two_step, Searcher)
    assert dict(two_step.search(queries, 20)) == dict(exact.search(queries, 20))


def test_every_score_is_exact(exact: ImpactSearcher, queries: dict[str, ImpactVector]) -> None:
    for query_id, hits in TwoStepSearcher(exact, 1, 30).search(queries, 20):
        assert exact.scores(queries[query_id], [hit.doc_id for hit in hits]) == [hit.score for hit in hits]


def test_more_candidates_never_find_fewer_of_the_exact_hits(
    exact: ImpactSearcher, queries: dict[str, ImpactVector]
) -> None:
    reference = {query_id: {hit.doc_id for hit in hits} for query_id, hits in exact.search(queries, 20)}
    exact_hits = [
        {id_: len({hit.doc_id for hit in hits} & reference[id_]) for id_, hits in two_step.search(queries, 20)}
        for two_step in (TwoStepSearcher(exact, 1, candidates) for candidates in (20, 40, 80, 400))
    ]
    for fewer, more in pairwise(exact_hits):
        assert all(more[query_id] >= count for query_id, count in fewer.items())


def test_the_first_step_needs_a_token(exact: ImpactSearcher) -> None:
    with pytest.raises(InputError, match="at least 1 token, got 0"):
        TwoStepSearcher(exact, 0)


@pytest.mark.parametrize(("hits", "candidates"), [(1, 10), (10, 100), (100, 1000), (500, 1000), (501, 1002)])
def test_by_default_there_are_ten_candidates_for_a_hit_up_to_1000_and_always_two(hits: int, candidates: int) -> None:
    assert default_candidates(hits) == candidates


def test_fewer_candidates_than_hits_are_refused() -> None:
    check_candidates(None, 1000)
    check_candidates(1000, 1000)
    with pytest.raises(InputError, match=r"--candidates \(9\) is less than --hits \(1,000\)"):
        check_candidates(9, 1000)


def test_the_former_name_of_the_class_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="TwoStepSearcher"):
        assert lucene.TwoPhaseSearcher is TwoStepSearcher


@pytest.mark.parametrize(
    ("ids", "exact_ids", "depth", "expected"),
    [("axbc", "abc", 2, 0.5), ("axbc", "cba", 10, 1), ("", "a", 10, 0)],
)
def test_overlap_is_the_share_of_the_exact_hits_that_is_found(
    ids: str, exact_ids: str, depth: int, expected: float
) -> None:
    assert overlap(list(ids), list(exact_ids), depth) == expected


def ranking(query_id: str, ids: str) -> tuple[str, list[ScoredDoc]]:
    return query_id, [ScoredDoc(query_id, id_, 1) for id_ in ids]


def test_overlap_with_the_exact_search_is_a_mean_over_queries_with_exact_hits() -> None:
    overlap_with_exact = OverlapWithExact((2, 4))
    rankings = [ranking("p", "abcd"), ranking("q", ""), ranking("r", "azbc")]
    exact_rankings = [ranking("p", "abcd"), ranking("q", ""), ranking("r", "abcd")]
    assert list(overlap_with_exact.watch(rankings, exact_rankings)) == rankings
    assert str(overlap_with_exact) == "of the exact search, found 75.00% of the first 2 and 87.50% of the first 4"


def test_without_exact_hits_there_is_no_overlap_to_report() -> None:
    assert str(OverlapWithExact((10,))) == "the exact search finds nothing"


class TestCommand:
    @pytest.fixture
    def topics(self, queries: dict[str, ImpactVector], tmp_path: Path) -> Path:
        write_encoded_topics(tmp_path / "topics.tsv", {id_: vector for id_, vector in queries.items() if vector})
        return tmp_path / "topics.tsv"

    def search(self, index_path: Path, topics: Path, *arguments: object) -> tuple[str, list[ScoredDoc]]:
        """Run the command; return what it prints, and the run."""
        run = topics.with_name("run.txt")
        source = ("--index", index_path, "--topics", topics, "--pre-encoded", "--hits", 20)
        outcome = run_stage("search", *source, "--output", run, *arguments)
        assert (outcome.code, outcome.complaints) == (0, "")
        return outcome.out, list(read_run(run))

    def test_it_writes_the_hits_and_reports_how_many_exact_hits_are_found(
        self, index_path: Path, topics: Path, queries: dict[str, ImpactVector], exact: ImpactSearcher
    ) -> None:
        filled = {query_id: vector for query_id, vector in queries.items() if vector}
        output, run = self.search(index_path, topics, "--two-step", 1, "--candidates", 25, "--check-exact")
        expected = dict(TwoStepSearcher(exact, 1, 25).search(filled, 20))
        assert [hit[:2] for hit in run] == [hit[:2] for hits in expected.values() for hit in hits]
        overlap_with_exact = OverlapWithExact((10, 20))
        assert len(list(overlap_with_exact.watch(expected.items(), exact.search(filled, 20)))) == len(filled)
        assert str(overlap_with_exact) in output
        assert "100.00% of the first 10" not in output

    def test_with_all_tokens_it_finds_all_exact_hits(self, index_path: Path, topics: Path) -> None:
        output, _ = self.search(index_path, topics, "--two-step", 9, "--check-exact")
        assert "100.00% of the first 10 and 100.00% of the first 20" in output

    def test_pruned_queries_can_be_compared_with_the_exact_search_as_well(self, index_path: Path, topics: Path) -> None:
        output, _ = self.search(index_path, topics, "--query-top-k", 1, "--check-exact")
        assert "% of the first 10" in output
        assert "100.00% of the first 10" not in output

    def test_by_default_it_reports_only_the_run(self, index_path: Path, topics: Path) -> None:
        output, _ = self.search(index_path, topics, "--two-step", 1)
        assert "exact" not in output
