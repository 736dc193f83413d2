import math
from collections.abc import Sequence
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import ScoredDoc

from splade_anserini.errors import InputError
from splade_anserini.formats.runs import read_rankings, strictly_decreasing, write_run
from splade_anserini.formats.side_by_side import side_by_side
from splade_anserini.retrieval.fusion import (
    FusionOptions,
    Normalization,
    fused,
    interpolated,
    max_passages,
    normalized,
    ranked,
    reciprocal_ranks,
)
from tests.running import Outcome, run_stage

Ranking = list[ScoredDoc]
IDS = [f"d{number}" for number in range(12)]
scores = st.integers(-20, 20).map(float) | st.floats(-(2.0**127), 2.0**127, width=32)


def ranking(of: dict[str, float]) -> Ranking:
    """Best first; equal scores in ascending order of ids, as they stand in our runs."""
    return [ScoredDoc("q", id_, score) for id_, score in sorted(of.items(), key=lambda item: (-item[1], item[0]))]


rankings = st.dictionaries(st.sampled_from(IDS), scores, max_size=12).map(ranking)
several = st.lists(rankings, min_size=2, max_size=4)
law = settings(max_examples=60, deadline=None)
normalizations = st.sampled_from(["minmax", "zscore", "sum", "none"])


def ids(some: Sequence[ScoredDoc]) -> list[str]:
    return [doc.doc_id for doc in some]


# Reciprocal rank fusion


def test_a_worked_example_of_reciprocal_rank_fusion() -> None:
    first = [ScoredDoc("q", id_, -place) for place, id_ in enumerate("abc")]
    second = [ScoredDoc("q", id_, -place) for place, id_ in enumerate("cad")]
    assert reciprocal_ranks([first, second]) == pytest.approx(
        {"a": 1 / 61 + 1 / 62, "b": 1 / 62, "c": 1 / 63 + 1 / 61, "d": 1 / 63}, abs=1e-15
    )
    assert ids(fused("q", [first, second], FusionOptions())) == ["a", "c", "b", "d"]
    assert reciprocal_ranks([first], k=0) == {"a": 1, "b": 1 / 2, "c": 1 / 3}


@law
@given(several)
def test_the_order_of_the_runs_makes_no_difference(some: list[Ranking]) -> None:
    expected = fused("q", some, FusionOptions())
    for other in permutations(some):
        assert fused("q", other, FusionOptions()) == expected


@law
@given(several)
def test_only_ranks_count(some: list[Ranking]) -> None:
    other = [[ScoredDoc("q", doc.doc_id, 7.0 - 3 * rank) for rank, doc in enumerate(each)] for each in some]
    assert fused("q", other, FusionOptions()) == fused("q", some, FusionOptions())


@law
@given(rankings, st.integers(0, 100), st.integers(2, 4))
def test_fused_with_itself_a_run_keeps_its_order(one: Ranking, k: int, times: int) -> None:
    assert ids(fused("q", [one] * times, FusionOptions(rrf_k=k))) == ids(one)


@law
@given(several, st.integers(1, 5), st.integers(1, 5))
def test_depth_cuts_what_goes_in_and_hits_what_comes_out(some: list[Ranking], depth: int, hits: int) -> None:
    for method in ("rrf", "interpolation"):
        whole = fused("q", [each[:depth] for each in some], FusionOptions(method))
        assert fused("q", some, FusionOptions(method, depth=depth, hits=hits)) == whole[:hits]


# Interpolation


@law
@given(st.lists(scores, min_size=1, max_size=20), normalizations)
def test_normalized_scores_keep_their_order_and_their_bounds(some: list[float], how: Normalization) -> None:
    some.sort(reverse=True)
    found = normalized(some, how)
    assert all(one >= other for one, other in pairwise(found))
    n = len(some)
    if how == "minmax":
        assert found[0] == 1
        assert found[-1] == (0 if some[0] > some[-1] else 1)
    elif how == "sum":
        assert math.fsum(found) == pytest.approx(1)
        assert found[-1] == (0 if some[0] > some[-1] else pytest.approx(1 / n))
    elif how == "zscore":
        assert math.fsum(found) == pytest.approx(0, abs=1e-6)
        assert math.fsum(z * z for z in found) == pytest.approx(n if some[0] > some[-1] else 0)
    else:
        assert found == some


def test_normalized_scores_by_hand() -> None:
    assert normalized([5.0, 2.0, 1.0], "minmax") == [1, 0.25, 0]
    assert normalized([5.0, 2.0, 1.0], "sum") == [0.8, 0.2, 0]
    assert normalized([3.0, 1.0], "zscore") == [1, -1]
    for how, each in (("minmax", 1.0), ("sum", 0.5), ("zscore", 0.0), ("none", 0.1)):
        assert normalized([0.1, 0.1], how) == [each, each]  # type: ignore[arg-type]
        assert normalized([], how) == []  # type: ignore[arg-type]


def test_a_document_that_a_ranking_lacks_counts_as_the_last_one_or_as_0() -> None:
    def counted(score_of_last: float, how: Normalization) -> float:
        """What z, which only the second ranking has, gets from the first."""
        first = ranking({"a": 9.0, "b": score_of_last})
        return interpolated([first, ranking({"z": 0.0})], [1, 0], how)["z"]

    assert counted(4.0, "minmax") == counted(4.0, "sum") == counted(4.0, "none") == 0
    assert counted(4.0, "zscore") == -1
    assert counted(-4.0, "none") == -4
    # A single hit, too, is better than none.
    for how in ("minmax", "sum", "none"):
        assert interpolated([ranking({"a": 9.0}), ranking({"z": 0.0})], [1, 0], how)["a"] > 0  # type: ignore[arg-type]


@law
@given(rankings, rankings, normalizations, st.floats(0, 1e300, exclude_min=True))
def test_a_run_that_has_all_the_weight_keeps_its_order(
    one: Ranking, other: Ranking, how: Normalization, weight: float
) -> None:
    found = interpolated([one, other], [weight, 0], how)
    mine = {doc.doc_id: score for doc, score in zip(one, normalized([doc.score for doc in one], how), strict=True)}
    assert {id_: score for id_, score in found.items() if id_ in mine} == mine
    assert found.keys() == {doc.doc_id for doc in [*one, *other]}


@law
@given(several, normalizations, st.data())
def test_interpolation_is_a_weighted_mean(some: list[Ranking], how: Normalization, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 100), min_size=len(some), max_size=len(some)))
    found = interpolated(some, weights, how)
    for id_, score in found.items():
        total = 0.0
        for each, weight in zip(some, weights, strict=True):
            values = normalized([doc.score for doc in each], how)
            of = dict(zip(ids(each), values, strict=True))
            total += weight * of.get(id_, min([0.0, *values]))
        assert score == pytest.approx(total / sum(weights), rel=1e-6, abs=1e-6 * max(map(abs, found.values())))


@law
@given(several, st.sampled_from(["rrf", "interpolation"]), normalizations)
def test_what_is_fused_can_be_written(some: list[Ranking], method, how: Normalization) -> None:
    found = fused("q", some, FusionOptions(method, normalization=how, weights=tuple(range(1, len(some) + 1))))
    assert len(strictly_decreasing([doc.score for doc in found])) == len({doc.doc_id for each in some for doc in each})
    assert [(-doc.score, doc.doc_id) for doc in found] == sorted((-doc.score, doc.doc_id) for doc in found)


def test_ties_are_in_ascending_order_of_ids() -> None:
    assert ids(ranked("q", {"b": 1.0, "a": 1.0, "é": 1.0, "B": 1.0, "z": 2.0}, 4)) == ["z", "B", "a", "b"]


@pytest.mark.parametrize(
    "options",
    [{"rrf_k": -1}, {"depth": 0}, {"hits": 0}, {"weights": (0.0, 0.0)}, {"weights": (1, -1)}, {"weights": (math.nan,)}],
)
def test_options_that_mean_nothing_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match="Expected"):
        FusionOptions(**options)


# Passages


@law
@given(st.dictionaries(st.tuples(st.sampled_from(["a", "b", "a#b", "#"]), st.integers(0, 9)), scores, max_size=20))
def test_a_document_is_as_good_as_its_best_passage(passages: dict[tuple[str, int], float]) -> None:
    run = ranking({f"{document}#{number}": score for (document, number), score in passages.items()})
    found = max_passages(run, "#", "run")
    best = {document: max(score for (of, _), score in passages.items() if of == document) for document, _ in passages}
    assert {doc.doc_id: doc.score for doc in found} == best
    assert len(found) == len(best)
    assert [doc.score for doc in found] == sorted(best.values(), reverse=True)


def test_passages_of_documents_with_equal_scores_keep_the_order_of_the_run() -> None:
    run = [ScoredDoc("q", id_, 1.0) for id_ in ("b::2", "a::1", "b::1")]
    assert max_passages(run, "::", "run") == [ScoredDoc("q", "b", 1.0), ScoredDoc("q", "a", 1.0)]


@pytest.mark.parametrize("id_", ["d7", "#2", "d7-2"])
def test_an_id_without_the_separator_is_named(id_: str) -> None:
    with pytest.raises(InputError, match=f"p.txt: the document '{id_}' of the query 'q' is no passage"):
        max_passages([ScoredDoc("q", "d7#1", 2.0), ScoredDoc("q", id_, 1.0)], "#", "p.txt")


# Runs beside each other


runs = st.lists(st.lists(st.sampled_from("abcdef"), unique=True), min_size=1, max_size=4)


@law
@given(runs)
def test_side_by_side_every_query_meets_its_rankings(some: list[list[str]]) -> None:
    made = [[(id_, [ScoredDoc(id_, f"d{number}", 1.0)]) for id_ in run] for number, run in enumerate(some)]
    found = list(side_by_side(made))
    assert [query_id for query_id, _ in found] == list(dict.fromkeys(id_ for run in some for id_ in run))
    tables = [dict(run) for run in made]
    assert {id_: list(map(list, each)) for id_, each in found} == {
        id_: [table.get(id_, []) for table in tables] for id_, _ in found
    }


def test_runs_in_the_same_order_are_read_in_step() -> None:
    read = []

    def run(number: int):
        for query_id in "abc":
            read.append((number, query_id))
            yield query_id, []

    pairs = side_by_side([run(0), run(1)])
    next(pairs)
    assert read == [(0, "a"), (1, "a")]
    next(pairs)
    assert read[2:] == [(0, "b"), (1, "b")]


# The command


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write(tmp_path / "a.txt", "q1 Q0 a 1 9 t", "q1 Q0 b 2 5 t", "q1 Q0 c 3 1 t", "q2 Q0 a 1 2 t")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    # Not in the order of the scores, nor of the first run's queries.
    return write(
        tmp_path / "b.txt", "q3 Q0 x 1 7 t", "q1 Q0 a 2 3 t", "q1 Q0 c 1 4 t", "q1 Q0 d 3 0 t", "q2 Q0 b 1 1 t"
    )


def fuse(output: Path, *arguments: object) -> tuple[Outcome, dict[str, dict[str, float]]]:
    """Run the command; return its outcome and each query's documents and scores, best first."""
    output.unlink(missing_ok=True)
    outcome = run_stage("fuse", "--output", output, *arguments)
    found = read_rankings(output) if output.exists() else ()
    return outcome, {query_id: {doc.doc_id: doc.score for doc in ranking} for query_id, ranking in found}


def test_runs_are_fused_by_their_ranks(
    first: Path, second: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome, found = fuse(tmp_path / "out.txt", "--run", first, "--run", second, "--tag", "both")
    assert outcome.code == 0
    assert outcome.out == f"{tmp_path / 'out.txt'}: 3 queries, 7 hits\n"
    assert caplog.messages == ["1 query kept that not all runs have, first: q3"]
    assert list(found) == ["q1", "q2", "q3"]
    assert found["q1"] == pytest.approx({"a": 1 / 61 + 1 / 62, "c": 1 / 63 + 1 / 61, "b": 1 / 62, "d": 1 / 63})
    assert [list(found[query_id]) for query_id in found] == [["a", "c", "b", "d"], ["a", "b"], ["x"]]
    assert (tmp_path / "out.txt").read_text().startswith("q1 Q0 a 1 0.03252")
    assert (tmp_path / "out.txt").read_text().splitlines()[0].endswith(" both")


def test_runs_are_interpolated_with_weights(first: Path, second: Path, tmp_path: Path) -> None:
    for weights in (["--weight", "0.25,0.75"], ["--weight", "1", "--weight", "3"]):
        outcome, found = fuse(
            tmp_path / "out.txt", "--run", first, "--run", second, "--method", "interpolation", *weights
        )
        assert outcome.code == 0
        assert found["q1"] == pytest.approx({"a": 0.25 + 0.75 * 0.75, "c": 0.75, "b": 0.125, "d": 0.0})
        assert list(found["q1"]) == ["a", "c", "b", "d"]
    _, found = fuse(
        tmp_path / "out.tsv", "--run", first, "--run", second, "--method", "interpolation", "--normalize", "none",
        "--depth", 2, "--hits", 1, "--format", "msmarco",
    )  # fmt: skip
    assert found == {"q1": {"a": -1.0}, "q2": {"a": -1.0}, "q3": {"x": -1.0}}


def test_passages_become_documents_alone_and_before_they_are_fused(second: Path, tmp_path: Path) -> None:
    passages = write(tmp_path / "p.txt", "q1 Q0 c#1 1 9 t", "q1 Q0 a#2 2 8.5 t", "q1 Q0 c#2 3 8 t", "q1 Q0 b#1 4 1 t")
    outcome, found = fuse(tmp_path / "d.txt", "--run", passages, "--max-passage", "#")
    assert outcome.code == 0
    assert list(found["q1"].items()) == [("c", 9.0), ("a", 8.5), ("b", 1.0)]
    _, found = fuse(tmp_path / "e.txt", "--run", passages, "--max-passage", "#", "--depth", 2)
    assert found == {"q1": {"c": 9.0, "a": 8.5}}
    _, once = fuse(tmp_path / "f.txt", "--run", passages, "--run", passages, "--max-passage", "#")
    _, twice = fuse(tmp_path / "g.txt", "--run", tmp_path / "d.txt", "--run", tmp_path / "d.txt")
    assert once == twice


def test_ranks_may_be_interpolated_with_a_warning(
    first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ranks = write(tmp_path / "ranks.tsv", "q1\tc\t1", "q1\ta\t2", "q1\td\t3", "q2\ta\t1")
    outcome, found = fuse(tmp_path / "out.txt", "--run", first, "--run", ranks, "--method", "interpolation")
    assert outcome.code == 0
    (warning,) = caplog.messages
    assert "ranks.tsv has ranks but no scores" in warning
    assert found["q1"] == pytest.approx({"a": 0.75, "c": 0.5, "b": 0.25, "d": 0.0})
    fuse(tmp_path / "out.txt", "--run", first, "--run", ranks)
    assert caplog.messages == [warning]


def test_every_bad_input_has_its_sentence_and_exit_code_2(first: Path, second: Path, tmp_path: Path) -> None:
    both = ("--run", first, "--run", second)
    other = write(tmp_path / "other.txt", "q9 Q0 a 1 9 t")
    empty = write(tmp_path / "empty.txt")
    split = write(tmp_path / "split.txt", "q1 Q0 a 1 9 t", "q2 Q0 a 1 9 t", "q1 Q0 b 1 9 t")
    huge = write(tmp_path / "huge.txt", "q1 Q0 a 1 1e39 t", "q1 Q0 b 1 1 t")
    by_scores = ("--method", "interpolation")
    for arguments, said in [
        (("--run", first), "Fusion needs at least two runs."),
        (("--run", first, "--run", tmp_path / "nowhere.txt"), "nowhere.txt does not exist"),
        (("--run", first, "--run", other), "a.txt (2 queries) shares no query with the other runs"),
        ((*both, "--run", other), "other.txt (1 query) shares no query"),
        (("--run", first, "--run", empty), "empty.txt (0 queries) shares no query with the other runs"),
        (("--run", empty, "--max-passage", "#"), "empty.txt is empty"),
        ((*both, "--run", empty), "empty.txt (0 queries) shares no query with the other runs"),
        (("--run", first, "--run", split), "split.txt, line 3"),
        (("--run", first, "--run", huge), "huge.txt: document 'a' of query 'q1' has the score 1e+39"),
        ((*both, "--max-passage", "#"), "a.txt: the document 'a' of the query 'q1' is no passage"),
        ((*both, "--max-passage", ""), "--max-passage ''"),
        ((*both, "--max-passage", "a b"), "--max-passage 'a b'"),
        ((*both, "--weight", "1,2"), "--weight has no effect with --method rrf"),
        ((*both, "--normalize", "sum"), "--normalize has no effect with --method rrf"),
        ((*both, *by_scores, "--rrf-k", 60), "--rrf-k has no effect with --method interpolation"),
        ((*both, *by_scores, "--weight", "1"), "1 weight for 2 runs"),
        ((*both, *by_scores, "--weight", "1,much"), "is not a list of numbers"),
        ((*both, *by_scores, "--weight", ","), "is not a list of numbers"),
        ((*both, *by_scores, "--weight", "1,-1"), "The weights 1, -1"),
        ((*both, *by_scores, "--weight", "0", "--weight", "0"), "The weights 0, 0"),
        ((*both, "--method", "best"), "--method"),
        ((*both, "--depth", 0), "--depth"),
        ((*both, "--rrf-k", -1), "--rrf-k"),
        ((*both, "--tag", "two words"), "The tag 'two words'"),
        ((*both, "--tag", "\udcff"), "cannot stand in a run"),
    ]:
        outcome, _ = fuse(tmp_path / "out.txt", *arguments)
        assert (outcome.code, said in outcome.err) == (2, True), f"{arguments}: {outcome.err}"
        assert "Traceback" not in outcome.err
        assert not list(tmp_path.glob("out*"))


def test_runs_that_are_fused_stay(first: Path, second: Path, tmp_path: Path) -> None:
    before = first.read_bytes(), second.read_bytes()
    for output in (first, second):
        outcome = run_stage("fuse", "--run", first, "--run", second, "--output", output)
        assert (outcome.code, "are the same path" in outcome.err) == (2, True)
    assert (first.read_bytes(), second.read_bytes()) == before


@pytest.mark.slow
def test_pyserini_fuses_to_the_same(tmp_path: Path) -> None:
    import random

    from splade_anserini.lucene import start_jvm

    start_jvm()
    from pyserini.fusion import interpolation, reciprocal_rank_fusion
    from pyserini.trectools import RescoreMethod, TrecRun

    chance = random.Random(7)
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        some = [
            (f"q{number}", ranking({f"d{id_}": chance.uniform(0, 30) for id_ in chance.sample(range(80), 50)}))
            for number in range(5)
        ]
        write_run(path, some)
    theirs = [TrecRun(str(path)) for path in paths]
    unit = [run.clone().rescore(RescoreMethod.NORMALIZE) for run in theirs]
    mean = ("--method", "interpolation", "--weight", "0.3,0.7")
    for arguments, run in [
        (("--depth", 40), reciprocal_rank_fusion(theirs, depth=40, k=30)),
        # Theirs cuts what is normalized, ours normalizes what is cut.
        (mean, interpolation(unit, 0.3, k=30)),
        ((*mean, "--normalize", "none", "--depth", 40), interpolation(theirs, 0.3, depth=40, k=30)),
    ]:
        _, found = fuse(tmp_path / "ours.txt", "--run", paths[0], "--run", paths[1], "--hits", 30, *arguments)
        for query_id, ours in found.items():
            expected = run.get_docs_by_topic(query_id)
            assert list(ours) == list(expected["docid"]), arguments
            assert list(ours.values()) == pytest.approx(list(expected["score"]), rel=1e-6, abs=1e-9), arguments
