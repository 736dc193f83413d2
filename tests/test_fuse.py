"""The command `fuse`."""

import logging
from pathlib import Path

import pytest
from ir_measures import ScoredDoc

from splade_anserini.formats.runs import read_rankings, write_run
from tests.cli_runner import Outcome, run_stage

INTERPOLATION = ("--method", "interpolation")


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write(tmp_path / "a.txt", "q1 Q0 a 1 9 t", "q1 Q0 b 2 5 t", "q1 Q0 c 3 1 t", "q2 Q0 a 1 2 t")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    # Neither in the order of scores nor in that of the queries of the first run.
    return write(
        tmp_path / "b.txt", "q3 Q0 x 1 7 t", "q1 Q0 a 2 3 t", "q1 Q0 c 1 4 t", "q1 Q0 d 3 0 t", "q2 Q0 b 1 1 t"
    )


def fuse(output: Path, *arguments: object) -> tuple[Outcome, dict[str, dict[str, float]]]:
    """Run the command; return its outcome and the documents and scores of each query, best first."""
    output.unlink(missing_ok=True)
    outcome = run_stage("fuse", "--output", output, *arguments)
    rankings = read_rankings(output) if output.exists() else ()
    return outcome, {query_id: {doc.doc_id: doc.score for doc in ranking} for query_id, ranking in rankings}


def test_runs_are_fused_by_their_ranks(
    first: Path, second: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome, fused = fuse(tmp_path / "out.txt", "--run", first, "--run", second, "--tag", "both")
    assert outcome.code == 0
    assert outcome.out == f"{tmp_path / 'out.txt'}: 3 queries, 7 hits\n"
    assert caplog.messages == ["1 query kept that not all runs have, first: q3"]
    assert fused["q1"] == pytest.approx({"a": 1 / 61 + 1 / 62, "c": 1 / 63 + 1 / 61, "b": 1 / 62, "d": 1 / 63})
    assert [(query_id, [*hits]) for query_id, hits in fused.items()] == [
        ("q1", ["a", "c", "b", "d"]), ("q2", ["a", "b"]), ("q3", ["x"])
    ]  # fmt: skip
    assert (tmp_path / "out.txt").read_text().startswith("q1 Q0 a 1 0.03252")
    assert (tmp_path / "out.txt").read_text().splitlines()[0].endswith(" both")


@pytest.mark.parametrize("weights", [("--weight", "0.25,0.75"), ("--weight", "1", "--weight", "3")])
def test_runs_are_interpolated_with_weights(
    first: Path, second: Path, tmp_path: Path, weights: tuple[str, ...]
) -> None:
    runs = ("--run", first, "--run", second)
    outcome, fused = fuse(tmp_path / "out.txt", *runs, "--method", "interpolation", *weights)
    assert outcome.code == 0
    assert fused["q1"] == pytest.approx({"a": 0.25 + 0.75 * 0.75, "c": 0.75, "b": 0.125, "d": 0.0})
    assert list(fused["q1"]) == ["a", "c", "b", "d"]


def test_runs_are_interpolated_to_a_depth_and_written_as_ms_marco(first: Path, second: Path, tmp_path: Path) -> None:
    options = ("--method", "interpolation", "--normalize", "none", "--depth", 2, "--hits", 1, "--format", "msmarco")
    _, fused = fuse(tmp_path / "out.tsv", "--run", first, "--run", second, *options)
    assert fused == {"q1": {"a": -1.0}, "q2": {"a": -1.0}, "q3": {"x": -1.0}}


def test_documents_are_ranked_by_passages_of_one_run_and_before_fusion(tmp_path: Path) -> None:
    passages = write(tmp_path / "p.txt", "q1 Q0 c#1 1 9 t", "q1 Q0 a#2 2 8.5 t", "q1 Q0 c#2 3 8 t", "q1 Q0 b#1 4 1 t")
    outcome, documents = fuse(tmp_path / "d.txt", "--run", passages, "--max-passage", "#")
    assert outcome.code == 0
    assert list(documents["q1"].items()) == [("c", 9.0), ("a", 8.5), ("b", 1.0)]
    _, to_depth_2 = fuse(tmp_path / "e.txt", "--run", passages, "--max-passage", "#", "--depth", 2)
    assert to_depth_2 == {"q1": {"c": 9.0, "a": 8.5}}
    _, in_one_step = fuse(tmp_path / "f.txt", "--run", passages, "--run", passages, "--max-passage", "#")
    _, in_two_steps = fuse(tmp_path / "g.txt", "--run", tmp_path / "d.txt", "--run", tmp_path / "d.txt")
    assert in_one_step == in_two_steps


def test_the_interpolation_of_ranks_is_a_warning(first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ranks = write(tmp_path / "ranks.tsv", "q1\tc\t1", "q1\ta\t2", "q1\td\t3", "q2\ta\t1")
    outcome, fused = fuse(tmp_path / "out.txt", "--run", first, "--run", ranks, "--method", "interpolation")
    assert outcome.code == 0
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "ranks.tsv has ranks but no scores" in warning
    assert fused["q1"] == pytest.approx({"a": 0.75, "c": 0.5, "b": 0.25, "d": 0.0})
    fuse(tmp_path / "out.txt", "--run", first, "--run", ranks)
    assert caplog.messages == [caplog.messages[0], warning, caplog.messages[0]]
    assert caplog.messages[0].endswith("taken for qid docid rank: the third is 1, 2, 3, … for every query.")


@pytest.fixture
def bad_runs(first: Path, second: Path, tmp_path: Path) -> Path:
    write(tmp_path / "other.txt", "q9 Q0 a 1 9 t")
    write(tmp_path / "empty.txt")
    write(tmp_path / "split.txt", "q1 Q0 a 1 9 t", "q2 Q0 a 1 9 t", "q1 Q0 b 1 9 t")
    write(tmp_path / "huge.txt", "q1 Q0 a 1 1e39 t", "q1 Q0 b 1 1 t")
    return tmp_path


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        ("a", (), "Fusion needs at least two runs."),
        ("a nowhere", (), "nowhere.txt does not exist"),
        ("a other", (), "a.txt (2 queries) shares no query with the other runs"),
        ("a b other", (), "other.txt (1 query) shares no query"),
        ("a empty", (), "empty.txt (0 queries) shares no query with the other runs"),
        ("empty", ("--max-passage", "#"), "empty.txt is empty"),
        ("a b empty", (), "empty.txt (0 queries) shares no query with the other runs"),
        ("a split", (), "split.txt, line 3"),
        ("a huge", (), "huge.txt, line 1: the score is 1e39"),
        ("a b", ("--max-passage", "#"), "a.txt: 'a' of query 'q1' is not the id of a passage"),
        ("a b", ("--max-passage", ""), "--max-passage ''"),
        ("a b", ("--max-passage", "a b"), "--max-passage 'a b'"),
        ("a b", ("--weight", "1,2"), "--weight has no effect with --method rrf"),
        ("a b", ("--normalize", "sum"), "--normalize has no effect with --method rrf"),
        ("a b", (*INTERPOLATION, "--rrf-k", 61), "--rrf-k has no effect with --method interpolation"),
        ("a b", (*INTERPOLATION, "--weight", "1"), "1 weight for 2 runs"),
        ("a b", (*INTERPOLATION, "--weight", "1,much"), "is not a list of numbers"),
        ("a b", (*INTERPOLATION, "--weight", ","), "is not a list of numbers"),
        ("a b", (*INTERPOLATION, "--weight", "1,-1"), "--weight is not valid: 1, -1."),
        ("a b", (*INTERPOLATION, "--weight", "0", "--weight", "0"), "--weight is not valid: 0, 0."),
        ("a b", ("--method", "best"), "--method"),
        ("a b", ("--depth", 0), "--depth"),
        ("a b", ("--rrf-k", -1), "--rrf-k"),
        ("a b", ("--tag", "two words"), "The tag 'two words'"),
        ("a b", ("--tag", "\udcff"), "cannot be used in a run"),
    ],
)
def test_bad_runs_and_options_are_errors_and_nothing_is_written(
    bad_runs: Path, runs: str, options: tuple[object, ...], message: str
) -> None:
    arguments = [argument for name in runs.split() for argument in ("--run", bad_runs / f"{name}.txt")]
    outcome, _ = fuse(bad_runs / "out.txt", *arguments, *options)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err
    assert "Traceback" not in outcome.err
    assert not list(bad_runs.glob("out*"))


@pytest.mark.parametrize("name", ["a.txt", "b.txt"])
def test_a_run_that_is_fused_is_not_overwritten(first: Path, second: Path, tmp_path: Path, name: str) -> None:
    before = first.read_bytes(), second.read_bytes()
    outcome = run_stage("fuse", "--run", first, "--run", second, "--output", tmp_path / name)
    assert (outcome.code, "are the same path" in outcome.err) == (2, True)
    assert (first.read_bytes(), second.read_bytes()) == before


@pytest.mark.slow
def test_fusion_agrees_with_pyserini(tmp_path: Path) -> None:
    import random

    from splade_anserini.lucene import start_jvm

    start_jvm()
    from pyserini.fusion import average, interpolation, normalize, reciprocal_rank_fusion
    from pyserini.trectools import RescoreMethod, TrecRun

    generator = random.Random(7)
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        rankings = []
        # The second run lacks the first query and has ties.
        for number in range(path == paths[1], 5):
            hits = [
                ScoredDoc("q", f"d{doc_id}", generator.uniform(0, 30) if number % 2 else generator.randint(0, 9))
                for doc_id in generator.sample(range(80), 50)
            ]
            rankings.append((f"q{number}", sorted(hits, key=lambda hit: -hit.score)))
        write_run(path, rankings)
    trec_runs = [TrecRun(str(path)) for path in paths]
    normalized_runs = [run.clone().rescore(RescoreMethod.NORMALIZE) for run in trec_runs]
    weighted = (*INTERPOLATION, "--weight", "0.3,0.7")
    for options, expected in [
        (("--depth", 40), reciprocal_rank_fusion(trec_runs, depth=40, k=30)),
        # No depth: Pyserini cuts normalized rankings, this package normalizes rankings after the cut.
        (weighted, interpolation(normalized_runs, 0.3, k=30)),
        ((*weighted, "--normalize", "none", "--depth", 40), interpolation(trec_runs, 0.3, depth=40, k=30)),
        ((*INTERPOLATION, "--normalize", "none", "--depth", 40), average(trec_runs, depth=40, k=30)),
        (INTERPOLATION, normalize(trec_runs, k=30)),
    ]:
        _, fused = fuse(tmp_path / "fused.txt", "--run", paths[0], "--run", paths[1], "--hits", 30, *options)
        assert len(fused) == 5
        for query_id, hits in fused.items():
            documents = expected.get_docs_by_topic(query_id)
            assert list(hits) == list(documents["docid"]), options
            # normalize adds the scores of runs, interpolation has their mean.
            factor = 0.5 if options == INTERPOLATION else 1
            assert list(hits.values()) == pytest.approx(list(factor * documents["score"]), rel=1e-6, abs=1e-9), options
