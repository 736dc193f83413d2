"""Measures beside the trec_eval 9.0.4 that Anserini's jar carries, and judgements that end trec_eval itself."""

import logging
import os
import platform
import random
import stat
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import Qrel, ScoredDoc

from splade_anserini.errors import InputError
from splade_anserini.evaluate import evaluate
from splade_anserini.evaluation.measures import parse_measures
from splade_anserini.evaluation.providers import strict_ranking
from splade_anserini.formats.qrels import read_qrels
from splade_anserini.formats.runs import read_run
from splade_anserini.lucene.java.jvm import anserini_jar
from tests.shared_data import CASES, needs_cases

type TrecEval = Callable[..., dict[str, dict[str, float]]]

BINARY = "trec_eval/trec_eval-linux-amd64"

# Name in ir_measures → name in trec_eval's output.
LEVEL_1 = {
    "AP": "map", "AP@100": "map_cut_100", "nDCG": "ndcg", "nDCG@10": "ndcg_cut_10", "P@5": "P_5", "P@10": "P_10",
    "R@5": "recall_5", "R@100": "recall_100", "RR": "recip_rank", "Rprec": "Rprec", "Bpref": "bpref",
    "infAP": "infAP", "Success@1": "success_1", "NumRet": "num_ret", "NumRet(rel=1)": "num_rel_ret",
    "SetP": "set_P", "SetF": "set_F", "IPrec@0.1": "iprec_at_recall_0.10",
}  # fmt: skip
LEVEL_2 = {
    "AP(rel=2)": "map", "P(rel=2)@5": "P_5", "R(rel=2)@100": "recall_100", "RR(rel=2)": "recip_rank",
    "Bpref(rel=2)": "bpref", "Rprec(rel=2)": "Rprec", "Success(rel=2)@1": "success_1", "infAP(rel=2)": "infAP",
}  # fmt: skip


@pytest.fixture(scope="module")
def trec_eval(tmp_path_factory: pytest.TempPathFactory) -> TrecEval:
    """Return a function of a directory with `qrels` and `run`, a relevance level and options."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip(f"{BINARY} does not run here")
    directory = tmp_path_factory.mktemp("trec_eval")
    with zipfile.ZipFile(anserini_jar(os.environ)) as jar:
        binary = Path(jar.extract(BINARY, directory))
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    assert "9.0.4" in version.stdout + version.stderr

    def values(files: Path, level: int = 1) -> dict[str, dict[str, float]]:
        command = [binary, "-c", "-q", "-l", str(level), "-M", "100000", "-m", "all_trec", "qrels", "run"]
        output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=files).stdout
        table: dict[str, dict[str, float]] = defaultdict(dict)
        for line in output.splitlines():
            name, query_id, value = line.split()
            if name not in {"runid", "relstring"}:
                table[query_id][name] = float(value)
        return table

    return values


def random_collection(seed: int, directory: Path) -> tuple[list[ScoredDoc], list[Qrel]]:
    """Write and return a run with ties, missing and extra topics, and negative and graded judgements."""
    rng = random.Random(seed)
    topics, documents = [f"t{number}" for number in range(8)], [f"D{number}" for number in range(rng.choice([30, 150]))]
    qrels, run = [], []
    for topic in [*topics, "judged"]:
        grades = [-2, -1, 0, 0, 0, 1, 1, 2, 3] if rng.random() < 0.9 else [0]
        judged = rng.sample(documents, rng.randint(2, 25))
        qrels += [Qrel(topic, judged[0], 0), *(Qrel(topic, doc_id, rng.choice(grades)) for doc_id in judged[1:])]
    for topic in [*topics, "extra"]:
        scores: Callable[[], float] = rng.choice(
            [lambda: float(rng.randint(0, 3)), lambda: 16777216 + rng.random() * 8, lambda: rng.gauss(0, 1e-3)]
        )
        run += [ScoredDoc(topic, doc_id, scores()) for doc_id in rng.sample(documents, rng.randint(1, len(documents)))]
    (directory / "qrels").write_text("".join(f"{q.query_id} 0 {q.doc_id} {q.relevance}\n" for q in qrels))
    (directory / "run").write_text("".join(f"{d.query_id} Q0 {d.doc_id} 0 {d.score!r} t\n" for d in run))
    return run, qrels


def assert_equal(ours: Mapping[str, float], theirs: Mapping[str, float], names: Mapping[str, str], where: str) -> None:
    for name, their_name in names.items():
        # trec_eval prints four decimals.
        assert ours[name] == pytest.approx(theirs[their_name], abs=5.1e-5), f"{name} {where}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(("level", "names"), [(1, LEVEL_1), (2, LEVEL_2)])
def test_all_values_are_those_of_trec_eval(
    trec_eval: TrecEval, seed: int, level: int, names: dict[str, str], tmp_path: Path
) -> None:
    random_collection(seed, tmp_path)
    qrels = read_qrels(tmp_path / "qrels")
    evaluation = evaluate(read_run(tmp_path / "run"), qrels, parse_measures(names))
    theirs = trec_eval(tmp_path, level)
    assert_equal(evaluation.aggregate, theirs["all"], names, "all")
    assert evaluation.missing == ("judged",)
    answered = [query_id for query_id in evaluation.per_query if query_id not in evaluation.missing]
    assert {*answered, "all"} == set(theirs)
    for query_id in answered:
        assert_equal(evaluation.per_query[query_id], theirs[query_id], names, query_id)


@pytest.mark.parametrize("seed", range(100, 105))
def test_measures_that_several_programs_compute_agree(seed: int, tmp_path: Path) -> None:
    run, qrels = random_collection(seed, tmp_path)
    # msmarco computes RR@k, trec_eval the others; a ranking of at most 1,000 documents is not cut.
    names = ("RR", "RR@1000", "RR@1", "P@1", "Success@1", "Judged@1000", "Judged@1")
    for values in evaluate(run, qrels, parse_measures(names)).per_query.values():
        assert values["RR"] == values["RR@1000"]
        assert values["RR@1"] == values["P@1"] == values["Success@1"]
        assert values["P@1"] <= values["Judged@1"]


# One ranking.


some_scores = st.integers(-3, 3).map(float) | st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.dictionaries(st.text(min_size=1), some_scores))
def test_a_strict_ranking_is_by_score_as_float32_and_then_by_descending_id(scores: dict[str, float]) -> None:
    ranking, tied = strict_ranking("q", scores)
    by_id = sorted(scores, reverse=True)
    assert [*ranking] == sorted(by_id, key=lambda doc_id: float(np.float32(scores[doc_id])), reverse=True)
    assert [*ranking.values()] == [float(value) for value in range(len(scores), 0, -1)]
    assert tied == (len({float(np.float32(score)) for score in scores.values()}) < len(scores))


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 1e39])
def test_a_score_that_float32_cannot_hold_is_an_error(score: float) -> None:
    with pytest.raises(InputError, match=r"The score of document 'b' for query 'q' is .*\nExpected a finite number"):
        strict_ranking("q", {"a": 1.0, "b": score})


def test_tied_scores_are_ranked_alike_for_all_measures(caplog: pytest.LogCaptureFixture) -> None:
    run = [ScoredDoc("q", doc_id, 1.0) for doc_id in "abc"]
    names = ["RR", "RR@10", "P@1", "nDCG@1", "Judged@1", "Success@1"]
    evaluation = evaluate(run, [Qrel("q", "a", 1), Qrel("q", "b", 0)], parse_measures(names), label="mine")
    assert evaluation.aggregate == pytest.approx(
        {"RR": 1 / 3, "RR@10": 1 / 3, "P@1": 0, "nDCG@1": 0, "Judged@1": 0, "Success@1": 0}
    )
    assert caplog.messages == [
        (
            "mine: Scores are tied in the rankings of 1 query: q. Tied documents are ranked by descending id, as "
            "trec_eval does, not by their order in the file."
        )
    ]


@needs_cases("run-ties.txt", "run-ties-in-float32.txt", "qrels.txt")
def test_the_given_runs_with_ties_have_the_values_of_trec_eval() -> None:
    qrels = read_qrels(CASES / "qrels.txt")
    values = evaluate(read_run(CASES / "run-ties.txt"), qrels, parse_measures(["nDCG@10 RR RR@10 P@1"])).aggregate
    assert {name: round(value, 4) for name, value in values.items()} == {
        "nDCG@10": 0.5655, "RR": 0.4167, "RR@10": 0.4167, "P@1": 0
    }  # fmt: skip
    values = evaluate(read_run(CASES / "run-ties-in-float32.txt"), qrels, parse_measures(["RR RR@10"])).aggregate
    assert values == {"RR": 0.5, "RR@10": 0.5}


def test_gains_are_only_those_of_their_own_measure() -> None:
    qrels = [Qrel("q", "a", 1), Qrel("q", "b", 2)]
    run = [ScoredDoc("q", "a", 2.0), ScoredDoc("q", "b", 1.0)]
    alone = evaluate(run, qrels, parse_measures(["nDCG@10"])).aggregate["nDCG@10"]
    both = parse_measures(["nDCG(gains={1:5,2:1})@10", "nDCG@10"])
    values = evaluate(run, qrels, both).aggregate
    assert values == {str(both[0]): 1.0, "nDCG@10": alone}


# Judgements that end trec_eval.

ALL = "Bpref AP nDCG nDCG@10 P@5 R@5 RR RR@10 Rprec infAP SetP SetF SetAP IPrec@0.1 Success@5 Judged@10"


def evaluate_apart(directory: Path, judgements: str, measures: str, topics: int = 1) -> Mapping[str, float]:
    """Evaluate in a process of its own, in which trec_eval has done nothing before."""
    (directory / "q").write_text(judgements)
    ranks = range(1, 1201)
    lines = [f"t{topic} Q0 D{rank - 1} {rank} {2000 - rank} x\n" for topic in range(topics) for rank in ranks]
    (directory / "r").write_text("".join(lines))
    options = [
        "-m",
        "splade_anserini",
        "evaluate",
        "--run",
        "r",
        "--qrels",
        "q",
        "--measures",
        measures,
        "--format",
        "csv",
    ]
    done = subprocess.run(
        [sys.executable, *options], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    names, values = (line.split(",")[1:] for line in done.stdout.splitlines())
    return dict(zip(names, map(float, values), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("grade", [-1, -2, -100])
def test_only_negative_judgements_are_legal(tmp_path: Path, grade: int) -> None:
    values = evaluate_apart(tmp_path, f"t0 0 D1 {grade}\nt0 0 D7 {grade}\n", f"{ALL} NumRet NumQ")
    assert values.pop("NumRet") == 1200
    assert values.pop("NumQ") == 1
    assert values.pop("Judged@10") == 0.2
    assert set(values.values()) == {0}


@pytest.mark.slow
def test_negative_judgements_of_a_later_topic_do_not_end_the_process(tmp_path: Path) -> None:
    values = evaluate_apart(tmp_path, "t0 0 D1 3\nt1 0 D1 -2\nt2 0 D0 -1\n", f"{ALL} NumRet", topics=3)
    assert values["NumRet"] == 3600
    assert values["RR"] == values["AP"] == pytest.approx(1 / 6)
    assert values["Bpref"] == pytest.approx(1 / 3)


@pytest.mark.slow
def test_a_relevance_level_far_beyond_the_grades_does_not_end_the_process(tmp_path: Path) -> None:
    values = evaluate_apart(tmp_path, "t0 0 D1 3\nt1 0 D1 0\n", "Bpref(rel=1000000) Bpref(rel=3) infAP(rel=1000000)", 2)
    assert [*values.values()] == [0, 0.5, 0]


def test_negative_gains_do_not_end_the_process() -> None:
    (measure,) = parse_measures(["nDCG(gains={0:0})@10"])
    measure.params["gains"] = {1: -5, 0: -5}
    values = evaluate([ScoredDoc("q", "a", 1.0)], [Qrel("q", "a", 1)], [measure]).aggregate
    assert [*values.values()] == [0]


def test_no_judgement_of_the_padding_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    run = [ScoredDoc("q", str(number), -float(number)) for number in range(3)]
    with caplog.at_level(logging.WARNING):
        values = evaluate(run, [Qrel("q", "1", -1)], parse_measures(["Judged@10", "NumRel", "P@1"])).aggregate
    assert values == pytest.approx({"Judged@10": 1 / 3, "NumRel": 0, "P@1": 0})
    assert not caplog.messages
