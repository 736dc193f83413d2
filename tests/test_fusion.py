import math
import re
from collections.abc import Sequence
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import ScoredDoc

from splade_anserini.errors import InputError
from splade_anserini.formats.rankings import zip_rankings
from splade_anserini.formats.runs import strictly_decreasing
from splade_anserini.retrieval.fusion import (
    FusionOptions,
    Method,
    Normalization,
    best_documents,
    fuse_rankings,
    interpolate,
    normalize_scores,
    rank_by_best_passage,
    reciprocal_rank_fusion,
)

Ranking = list[ScoredDoc]
IDS = [f"d{number}" for number in range(12)]
scores = st.integers(-20, 20).map(float) | st.floats(-(2.0**127), 2.0**127, width=32)


def ranking(scores_by_id: dict[str, float]) -> Ranking:
    """Return a ranking, best document first; equal scores are in ascending order of ids, as in runs."""
    ordered = sorted(scores_by_id.items(), key=lambda item: (-item[1], item[0]))
    return [ScoredDoc("q", doc_id, score) for doc_id, score in ordered]


rankings = st.dictionaries(st.sampled_from(IDS), scores, max_size=12).map(ranking)
lists_of_rankings = st.lists(rankings, min_size=2, max_size=4)
property_test = settings(max_examples=60, deadline=None)
normalizations = st.sampled_from(["minmax", "max", "zscore", "sum", "none"])


def ids(documents: Sequence[ScoredDoc]) -> list[str]:
    return [doc.doc_id for doc in documents]


# Reciprocal rank fusion.


def test_a_worked_example_of_reciprocal_rank_fusion() -> None:
    first = [ScoredDoc("q", doc_id, -rank) for rank, doc_id in enumerate("abc")]
    second = [ScoredDoc("q", doc_id, -rank) for rank, doc_id in enumerate("cad")]
    assert reciprocal_rank_fusion([first, second]) == pytest.approx(
        {"a": 1 / 61 + 1 / 62, "b": 1 / 62, "c": 1 / 63 + 1 / 61, "d": 1 / 63}, abs=1e-15
    )
    assert ids(fuse_rankings("q", [first, second], FusionOptions())) == ["a", "c", "b", "d"]
    assert reciprocal_rank_fusion([first], k=0) == {"a": 1, "b": 1 / 2, "c": 1 / 3}


@property_test
@given(lists_of_rankings)
def test_the_order_of_the_rankings_has_no_effect(rankings: list[Ranking]) -> None:
    expected = fuse_rankings("q", rankings, FusionOptions())
    for reordered in permutations(rankings):
        assert fuse_rankings("q", reordered, FusionOptions()) == expected


@property_test
@given(lists_of_rankings)
def test_reciprocal_rank_fusion_depends_on_ranks_only(rankings: list[Ranking]) -> None:
    rescored = [[ScoredDoc("q", doc.doc_id, 7.0 - 3 * rank) for rank, doc in enumerate(docs)] for docs in rankings]
    assert fuse_rankings("q", rescored, FusionOptions()) == fuse_rankings("q", rankings, FusionOptions())


@property_test
@given(rankings, st.integers(0, 100), st.integers(2, 4))
def test_a_ranking_fused_with_itself_keeps_its_order(documents: Ranking, k: int, times: int) -> None:
    assert ids(fuse_rankings("q", [documents] * times, FusionOptions(rrf_k=k))) == ids(documents)


@property_test
@given(lists_of_rankings, st.sampled_from(["rrf", "interpolation"]), st.integers(1, 5), st.integers(1, 5))
def test_depth_limits_the_rankings_and_hits_limits_the_result(
    rankings: list[Ranking], method: Method, depth: int, hits: int
) -> None:
    whole = fuse_rankings("q", [documents[:depth] for documents in rankings], FusionOptions(method=method))
    assert fuse_rankings("q", rankings, FusionOptions(method=method, depth=depth, hits=hits)) == whole[:hits]


# Interpolation.


@property_test
@given(st.lists(scores, min_size=1, max_size=20), normalizations)
def test_normalized_scores_keep_their_order_and_have_their_bounds(
    scores: list[float], normalization: Normalization
) -> None:
    scores.sort(reverse=True)
    normalized = normalize_scores(scores, normalization)
    assert all(score >= following for score, following in pairwise(normalized))
    are_equal = scores[0] == scores[-1]
    if normalization == "minmax":
        assert normalized[0] == 1
        assert normalized[-1] == (1 if are_equal else 0)
    elif normalization == "sum":
        assert math.fsum(normalized) == pytest.approx(1)
        assert normalized[-1] == (pytest.approx(1 / len(scores)) if are_equal else 0)
    elif normalization == "zscore":
        assert math.fsum(normalized) == pytest.approx(0, abs=1e-6)
        assert math.fsum(z * z for z in normalized) == pytest.approx(0 if are_equal else len(scores))
    elif normalization == "max":
        assert max(map(abs, normalized)) == (1 if any(scores) else 0)
    else:
        assert normalized == scores


@pytest.mark.parametrize(
    ("scores", "normalization", "expected"),
    [
        ([5.0, 2.0, 1.0], "minmax", [1, 0.25, 0]),
        ([5.0, 2.0, 1.0], "max", [1, 0.4, 0.2]),
        ([4.0, 4.0], "max", [1, 1]),
        ([0.0, 0.0], "max", [0, 0]),
        ([-1.0, -4.0], "max", [-0.25, -1]),
        ([5.0, 2.0, 1.0], "sum", [0.8, 0.2, 0]),
        ([3.0, 1.0], "zscore", [1, -1]),
        ([0.1, 0.1], "minmax", [1, 1]),
        ([0.1, 0.1], "sum", [0.5, 0.5]),
        ([0.1, 0.1], "zscore", [0, 0]),
        ([0.1, 0.1], "none", [0.1, 0.1]),
        ([], "minmax", []),
        ([], "sum", []),
        ([], "zscore", []),
        ([], "none", []),
    ],
)
def test_examples_of_normalized_scores(
    scores: list[float], normalization: Normalization, expected: list[float]
) -> None:
    assert normalize_scores(scores, normalization) == expected


@pytest.mark.parametrize(
    ("least_score", "normalization", "expected"),
    [
        (4.0, "minmax", 0),
        (4.0, "max", 0),
        (4.0, "sum", 0),
        (4.0, "none", 0),
        (4.0, "zscore", -1),
        (-4.0, "none", -4),
    ],
)
def test_a_document_that_a_ranking_lacks_gets_the_score_of_its_last_document_or_0(
    least_score: float, normalization: Normalization, expected: float
) -> None:
    rankings = [ranking({"a": 9.0, "b": least_score}), ranking({"z": 0.0})]
    assert interpolate(rankings, [1, 0], normalization)["z"] == expected


def test_cosines_below_0_stay_below_0_and_a_missing_document_ranks_no_higher() -> None:
    dense, sparse = ranking({"a": 0.5, "b": 0.25, "c": -0.125}), ranking({"d": 8.0, "c": 4.0})
    fused = interpolate([dense, sparse], [1, 1], "max")
    assert fused == {"a": 0.5, "b": 0.25, "c": (-0.25 + 0.5) / 2, "d": (-0.25 + 1) / 2}


@pytest.mark.parametrize("normalization", ["minmax", "max", "sum", "none"])
def test_the_only_document_of_a_ranking_is_better_than_one_that_it_lacks(normalization: Normalization) -> None:
    fused = interpolate([ranking({"a": 9.0}), ranking({"z": 0.0})], [1, 0], normalization)
    assert fused["a"] > fused["z"] == 0


@property_test
@given(rankings, rankings, normalizations, st.floats(0, 1e300, exclude_min=True))
def test_a_ranking_with_all_the_weight_keeps_its_normalized_scores(
    weighted: Ranking, other: Ranking, normalization: Normalization, weight: float
) -> None:
    fused = interpolate([weighted, other], [weight, 0], normalization)
    scores = normalize_scores([doc.score for doc in weighted], normalization)
    assert [fused[doc_id] for doc_id in ids(weighted)] == scores
    assert fused.keys() == {*ids(weighted), *ids(other)}


@property_test
@given(lists_of_rankings, normalizations, st.data())
def test_interpolation_is_a_weighted_mean(
    rankings: list[Ranking], normalization: Normalization, data: st.DataObject
) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 100), min_size=len(rankings), max_size=len(rankings)))
    fused = interpolate(rankings, weights, normalization)
    for doc_id, score in fused.items():
        total = 0.0
        for documents, weight in zip(rankings, weights, strict=True):
            normalized = normalize_scores([doc.score for doc in documents], normalization)
            by_id = dict(zip(ids(documents), normalized, strict=True))
            total += weight * by_id.get(doc_id, min([0.0, *normalized]))
        assert score == pytest.approx(total / sum(weights), rel=1e-6, abs=1e-6 * max(map(abs, fused.values())))


@property_test
@given(lists_of_rankings, st.sampled_from(["rrf", "interpolation"]), normalizations)
def test_a_fused_ranking_is_ordered_and_can_be_written(
    rankings: list[Ranking], method: Method, normalization: Normalization
) -> None:
    options = FusionOptions()
    if method == "interpolation":
        weights = tuple(range(1, len(rankings) + 1))
        options = FusionOptions(method=method, normalization=normalization, weights=weights)
    fused = fuse_rankings("q", rankings, options)
    doc_ids = {doc.doc_id for documents in rankings for doc in documents}
    assert len(strictly_decreasing([doc.score for doc in fused])) == len(doc_ids)
    assert [(-doc.score, doc.doc_id) for doc in fused] == sorted((-doc.score, doc.doc_id) for doc in fused)


def test_documents_with_equal_scores_are_in_ascending_order_of_ids() -> None:
    assert ids(best_documents("q", {"b": 1.0, "a": 1.0, "é": 1.0, "B": 1.0, "z": 2.0}, 4)) == ["z", "B", "a", "b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rrf_k": -1}, "--rrf-k must be at least 0, got -1."),
        ({"depth": 0}, "--depth must be at least 1, got 0."),
        ({"hits": 0}, "--hits must be at least 1, got 0."),
        ({"weights": (0.0, 0.0)}, "--weight is not valid: 0, 0.\nExpected finite numbers of at least 0"),
        ({"weights": (1, -1)}, "--weight is not valid: 1, -1."),
        ({"weights": (math.nan,)}, "--weight is not valid: nan."),
    ],
)
def test_options_out_of_range_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        FusionOptions(**options)


# Passages.


@property_test
@given(st.dictionaries(st.tuples(st.sampled_from(["a", "b", "a#b", "#"]), st.integers(0, 9)), scores, max_size=20))
def test_a_document_has_the_score_of_its_best_passage(passages: dict[tuple[str, int], float]) -> None:
    run = ranking({f"{doc_id}#{number}": score for (doc_id, number), score in passages.items()})
    documents = rank_by_best_passage(run, "#", "run")
    best: dict[str, float] = {}
    for (doc_id, _), score in passages.items():
        best[doc_id] = max(score, best.get(doc_id, score))
    assert {doc.doc_id: doc.score for doc in documents} == best
    assert [doc.score for doc in documents] == sorted(best.values(), reverse=True)


def test_documents_with_equal_scores_keep_the_order_of_their_passages() -> None:
    run = [ScoredDoc("q", passage_id, 1.0) for passage_id in ("b::2", "a::1", "b::1")]
    assert rank_by_best_passage(run, "::", "run") == [ScoredDoc("q", "b", 1.0), ScoredDoc("q", "a", 1.0)]


@pytest.mark.parametrize("doc_id", ["d7", "#2", "d7-2"])
def test_an_id_without_a_document_and_the_separator_is_an_error(doc_id: str) -> None:
    with pytest.raises(InputError, match=f"p.txt: '{doc_id}' of query 'q' is not the id of a passage"):
        rank_by_best_passage([ScoredDoc("q", "d7#1", 2.0), ScoredDoc("q", doc_id, 1.0)], "#", "p.txt")


# Rankings of several runs, by query.


lists_of_query_ids = st.lists(st.lists(st.sampled_from("abcdef"), unique=True), min_size=1, max_size=4)


@property_test
@given(lists_of_query_ids)
def test_each_query_comes_with_its_ranking_in_each_run(query_ids: list[list[str]]) -> None:
    runs = [
        [(query_id, [ScoredDoc(query_id, f"d{number}", 1.0)]) for query_id in queries]
        for number, queries in enumerate(query_ids)
    ]
    together = {query_id: list(map(list, rankings)) for query_id, rankings in zip_rankings(runs)}
    assert list(together) == list(dict.fromkeys(query_id for queries in query_ids for query_id in queries))
    by_query = [dict(run) for run in runs]
    assert together == {query_id: [run.get(query_id, []) for run in by_query] for query_id in together}


def test_runs_in_the_same_order_are_read_in_step() -> None:
    read = []

    def run(number: int):
        for query_id in "abc":
            read.append((number, query_id))
            yield query_id, []

    pairs = zip_rankings([run(0), run(1)])
    next(pairs)
    assert read == [(0, "a"), (1, "a")]
    next(pairs)
    assert read[2:] == [(0, "b"), (1, "b")]
