"""Comparison of several runs: labels, differences, tables, figures."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import R

from splade_anserini.errors import InputError
from splade_anserini.evaluation.comparison import Comparison, compare
from splade_anserini.evaluation.confidence import bootstrap_interval, effect_size
from splade_anserini.evaluation.evaluation import Evaluation
from splade_anserini.evaluation.measures import DEPTHS
from splade_anserini.evaluation.options import BootstrapOptions, RandomizationOptions
from splade_anserini.evaluation.plots import figure_of
from splade_anserini.evaluation.run_names import baseline_label, named_runs
from splade_anserini.evaluation.significance import randomization_test, t_test
from tests.cli_runner import Outcome, run_stage

QUERIES = [f"q{number}" for number in range(6)]


def evaluation(values: Mapping[str, float]) -> Evaluation:
    return Evaluation(
        {"AP": sum(values.values()) / len(values)}, {query_id: {"AP": v} for query_id, v in values.items()}, (), 10
    )


runs = st.lists(
    st.lists(st.sampled_from([0, 0.25, 0.5, 1]), min_size=6, max_size=6).map(
        lambda v: dict(zip(QUERIES, v, strict=True))
    ),
    min_size=2,
    max_size=4,
)


@settings(deadline=None)
@given(runs)
def test_every_run_is_compared_with_the_baseline_query_by_query(values: list[dict[str, float]]) -> None:
    comparison = compare(
        {f"r{n}": evaluation(v) for n, v in enumerate(values)}, ["AP"], "r0", RandomizationOptions(permutations=50)
    )
    assert list(comparison.differences) == [f"r{n}" for n in range(1, len(values))]
    for number, run in enumerate(values[1:], 1):
        difference = comparison.differences[f"r{number}"]["AP"]
        assert difference.per_query == {query_id: run[query_id] - values[0][query_id] for query_id in QUERIES}
        assert difference.aggregate == pytest.approx(sum(difference.per_query.values()) / len(QUERIES))
        assert difference.wins + difference.ties + difference.losses == len(QUERIES)
        assert difference.wins == sum(run[query_id] > values[0][query_id] for query_id in QUERIES)
        assert difference.losses == sum(run[query_id] < values[0][query_id] for query_id in QUERIES)
        for p_value in (difference.t_test, difference.randomization):
            assert p_value.raw <= p_value.holm <= min(1.0, p_value.raw * (len(values) - 1))


def test_differences_due_to_rounding_are_ties() -> None:
    evaluations = {
        label: evaluation(dict.fromkeys(QUERIES, value)) for label, value in {"a": 0.3, "b": 0.1 + 0.2}.items()
    }
    difference = compare(evaluations, ["AP"], "a").differences["b"]["AP"]
    assert (difference.wins, difference.ties, difference.losses) == (0, 6, 0)
    assert difference.t_test.holm == difference.randomization.holm == 1


def test_without_a_baseline_nothing_is_tested() -> None:
    assert compare({"a": evaluation({"q": 1}), "b": evaluation({"q": 0})}, ["AP"]).differences == {}


# Labels.


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_without_a_label_gets_the_shortest_end_of_its_path_that_is_unique(directory: Path) -> None:
    assert named_runs(["x/run.txt", "y/run.txt", "y/bm25.txt", "mine=z/run.txt"]) == {
        "x/run.txt": Path("x/run.txt"),
        "y/run.txt": Path("y/run.txt"),
        "bm25.txt": Path("y/bm25.txt"),
        "mine": Path("z/run.txt"),
    }


def test_an_existing_file_with_an_equals_sign_is_a_path(directory: Path) -> None:
    Path("k=3.txt").touch()
    assert named_runs(["k=3.txt", "three=k=3.txt", "a=1/b.txt", "dir/k=4.txt", "k=5.txt"]) == {
        "k=3.txt": Path("k=3.txt"),
        "three": Path("k=3.txt"),
        "a": Path("1/b.txt"),
        "k=4.txt": Path("dir/k=4.txt"),
        "k": Path("5.txt"),
    }


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a=x", "a=y"], "Two runs have the label a"),
        (["x", "x=y"], "Two runs have the label x"),
        (["x", "./x"], "--run x is given twice"),
        (["=x"], "has no label"),
        ([" =x"], "has no label"),
        (["a="], "has no path"),
        (["a\nb=x"], "unprintable characters"),
    ],
)
def test_an_invalid_label_is_an_error(directory: Path, texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        named_runs(texts)


def test_a_baseline_is_one_of_several_runs_by_label_or_path() -> None:
    named = named_runs(["a=x/1", "y/2"])
    assert [baseline_label(name, named) for name in ("a", "x/1", "2", "y/2")] == ["a", "a", "2", "2"]


@pytest.mark.parametrize(
    ("name", "runs", "message"),
    [
        ("b", ["a=x/1", "y/2"], r"--baseline b is not one of the runs\.\nExpected one of: a, 2"),
        ("a", ["a=x"], r"--baseline needs at least two runs, got 1\."),
    ],
)
def test_a_baseline_without_a_run_is_an_error(name: str, runs: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        baseline_label(name, named_runs(runs))


# The command.


@pytest.fixture
def collection(directory: Path) -> Path:
    """Twenty queries with one relevant document each: `good` ranks it first, `poor` third, `same` as poor does."""
    queries = [f"q{number:02}" for number in range(20)]
    Path("qrels").write_text("".join(f"{query_id} 0 d{query_id} 1\n" for query_id in queries))
    for name, order in {"good": "d{} x y", "poor": "x y d{}", "same": "x y d{}"}.items():
        lines = [
            f"{query_id} Q0 {doc.format(query_id)} 1 {3 - rank}.0 t\n"
            for query_id in queries
            for rank, doc in enumerate(order.split())
        ]
        Path(name).write_text("".join(lines))
    return directory


def evaluate(*options: object) -> Outcome:
    return run_stage("evaluate", "--qrels", "qrels", "--measures", "RR@10 R@2", *options)


RUNS = ["--run", "poor", "--run", "good", "--run", "again=same"]


def test_the_table_has_a_row_for_each_run(collection: Path) -> None:
    assert evaluate(*RUNS).out == (
        "run     RR@10     R@2\n"
        "poor   0.3333  0.0000\n"
        "good   1.0000  1.0000\n"
        "again  0.3333  0.0000\n"
    )  # fmt: skip


def test_the_table_shows_differences_and_p_values_and_explains_them(collection: Path) -> None:
    assert evaluate(*RUNS, "--baseline", "poor", "--permutations", 999, "--seed", 3).out == (
        "run     RR@10        Δ      R@2        Δ\n"
        "poor   0.3333            0.0000\n"
        "good   1.0000  +0.6667*  1.0000  +1.0000*\n"
        "again  0.3333  +0.0000   0.0000  +0.0000\n"
        "\n"
        "run    measure        Δ      d  wins  ties  losses  p, t-test  p, randomization\n"
        "good     RR@10  +0.6667           20     0       0    <0.0001            0.0020\n"
        "good       R@2  +1.0000           20     0       0    <0.0001            0.0020\n"
        "again    RR@10  +0.0000  +0.00     0    20       0     1.0000            1.0000\n"
        "again      R@2  +0.0000  +0.00     0    20       0     1.0000            1.0000\n"
        "Δ is the difference from poor over 20 judged queries.\n"
        "* marks a difference with p < 0.05 in both tests, which are paired, two-sided,\n"
        "and Holm-corrected for 2 runs compared in each measure.\n"
        "The randomization test tries all signs if at most 16 queries differ,\n"
        "else 999 permutations with seed 3.\n"
        "d is the mean difference divided by the standard deviation of the differences.\n"
    )


def test_the_table_shows_each_query_and_its_difference_on_request(collection: Path) -> None:
    assert evaluate(*RUNS, "--baseline", "poor", "--per-query").out.startswith(
        "query  measure    poor    good   Δ good   again  Δ again\n"
        "q00      RR@10  0.3333  1.0000  +0.6667  0.3333  +0.0000\n"
        "q00        R@2  0.0000  1.0000  +1.0000  0.0000  +0.0000\n"
        "q01      RR@10  "
    )
    assert evaluate(*RUNS, "--per-query").out.splitlines()[1] == "q00      RR@10  0.3333  1.0000  0.3333"


def test_json_has_all_values(collection: Path) -> None:
    done = evaluate(*RUNS, "--baseline", "poor", "--format", "json", "--per-query", "--permutations", 999)
    printed = json.loads(done.out)
    assert printed["queries"] == 20
    assert printed["baseline"] == "poor"
    assert printed["tests"] == {"correction": "holm", "comparisons": 2, "permutations": 999, "seed": 42}
    assert list(printed["runs"]) == ["poor", "good", "again"]
    assert printed["runs"]["poor"].keys() == {"missing", "measures", "per_query"}
    good = printed["runs"]["good"]
    assert good["measures"] == {"RR@10": 1, "R@2": 1}
    assert good["per_query"]["q00"] == {"RR@10": 1, "R@2": 1}
    assert good["per_query_differences"]["q00"] == {"RR@10": 1 - 1 / 3, "R@2": 1}
    assert good["differences"]["R@2"] == {
        "difference": 1,
        "wins": 20,
        "ties": 0,
        "losses": 0,
        "effect_size": None,
        "t_test": {"p": 0, "p_holm": 0},
        "randomization_test": {"p": 0.001, "p_holm": 0.002},
    }


def test_csv_has_all_values_in_rows(collection: Path) -> None:
    done = evaluate(*RUNS, "--baseline", "poor", "--format", "csv", "--per-query", "--permutations", 999)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == 3 * 2 * 21
    (row,) = [row for row in rows if (row["run"], row["query"], row["measure"]) == ("good", "all", "R@2")]
    assert [*row.values()][3:] == ["1.0", "1.0", "20", "0", "0", "0.0", "0.0", "0.001", "0.002", ""]
    (row,) = [row for row in rows if (row["run"], row["query"], row["measure"]) == ("good", "q03", "R@2")]
    assert [*row.values()][3:] == ["1.0", "1.0", *[""] * 8]
    plain = evaluate(*RUNS, "--format", "csv").out
    assert [plain.splitlines()[line] for line in (0, 2)] == ["run,query,measure,value", "poor,all,R@2,0.0"]


def test_all_runs_have_the_same_queries_and_warnings_begin_with_the_label(
    collection: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = Path("good").read_text().splitlines(keepends=True)
    Path("half").write_text("".join(lines[:30]))
    done = evaluate("--run", "good", "--run", "half")
    assert done.out.splitlines()[2] == "half  0.5000  0.5000"
    assert caplog.messages == ["half: The run lacks 10 judged queries, counted as 0: q10, q11, q12, …"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run", "good", "--baseline", "good"], "--baseline needs at least two runs, got 1."),
        ([*RUNS, "--baseline", "best"], "Expected one of: poor, good, again"),
        ([*RUNS, "--seed", 1], "--seed needs --baseline."),
        ([*RUNS, "--bootstraps", 9], "--bootstraps needs --confidence."),
        ([*RUNS, "--confidence", 1], "--confidence must be between 0 and 1, got 1."),
        ([*RUNS, "--confidence", 0.9, "--permutations", 9], "--permutations needs --baseline."),
        ([*RUNS, "--format", "latex", "--per-query"], "--per-query has no effect with --format latex."),
        ([*RUNS, "--permutations", 1], "--permutations needs --baseline."),
        ([*RUNS, "--baseline", "poor", "--permutations", 0], "--permutations must be at least 1, got 0."),
        ([*RUNS, "--baseline", "poor", "--seed", -1], "--seed must be at least 0, got -1."),
        (["--run", "good", "--run", "good"], "--run good is given twice"),
        (["--run", "good", "--run", "nowhere"], "nowhere does not exist"),
        (["--run", "good", "--run", "qrels"], "qrels, line 1: 4 columns"),
        (["--run", "good", "--plot", "figure.jpg"], "Expected .png, .svg or .pdf"),
        (["--run", "good", "--plot", "figure"], "the format of the figure figure from its suffix ''"),
        (["--run", "good", "--plot", "good/figure.svg"], "cannot be written"),
        (
            ["--run", "good", "--output", "one.png", "--plot", "./one.png"],
            "Outputs one.png and one.png are the same",
        ),
    ],
)
def test_invalid_options_are_errors_and_nothing_is_written(
    collection: Path, options: list[object], message: str
) -> None:
    before = sorted(path.name for path in collection.iterdir())
    done = evaluate(*options)
    assert (done.code, message in done.err) == (2, True), done.err
    assert sorted(path.name for path in collection.iterdir()) == before


# Confidence.


@pytest.fixture
def mixed(collection: Path) -> Path:
    """`mixed` is as good as `good` for 15 of 20 queries, else as `poor`."""
    good, poor = (Path(name).read_text().splitlines(keepends=True) for name in ("good", "poor"))
    Path("mixed_50%").write_text("".join(good[:45] + poor[45:]))
    return collection


def test_the_table_of_one_run_has_bounds_on_request(mixed: Path) -> None:
    lines = evaluate("--run", "mixed_50%", "--confidence", 0.9, "--seed", 1).out.splitlines()
    assert [line.split()[0] for line in lines] == ["query", "all", "90", "90"]
    value, low, high = (float(line.split()[-1]) for line in lines[1:])
    assert 0.5 <= low < value == 0.75 < high <= 0.95


def test_intervals_and_effect_sizes_are_in_the_table(mixed: Path) -> None:
    options = ("--run", "poor", "--run", "mixed_50%", "--baseline", "poor", "--confidence", 0.95)
    out = evaluate(*options).out
    assert "run        measure   value  95 % low    high\n" in out
    assert "run        measure        Δ  95 % low     high      d  wins" in out
    (row,) = [line.split() for line in out.splitlines() if line.split()[:3] == ["mixed_50%", "R@2", "+0.7500"]]
    assert 0.5 <= float(row[3]) < 0.75 < float(row[4]) <= 0.95
    # 15 ones and 5 zeros: 0.75 / sqrt(15 / 4 / 19)
    assert row[5] == "+1.69"
    assert out.endswith("Intervals are of 10,000 bootstrap samples of the queries.\n")


def test_intervals_and_effect_sizes_are_in_json_and_csv(mixed: Path) -> None:
    options = ("--run", "poor", "--run", "mixed_50%", "--baseline", "poor", "--confidence", 0.95, "--bootstraps", 500)
    run = json.loads(evaluate(*options, "--format", "json").out)["runs"]["mixed_50%"]
    difference = run["differences"]["R@2"]
    assert run["confidence"] == 0.95
    assert run["intervals"]["R@2"] == {"low": difference["low"], "high": difference["high"]}
    assert difference["effect_size"] == pytest.approx(0.75 / (15 / 4 / 19) ** 0.5)
    rows = list(csv.DictReader(io.StringIO(evaluate(*options, "--format", "csv").out)))
    (row,) = [row for row in rows if (row["run"], row["measure"]) == ("mixed_50%", "R@2")]
    assert float(row["value_low"]) == float(row["difference_low"]) == difference["low"]
    assert float(row["effect_size"]) == difference["effect_size"]
    single = json.loads(evaluate("--run", "mixed_50%", "--confidence", 0.95, "--format", "json").out)
    assert single["intervals"]["R@2"]["low"] < single["measures"]["R@2"] < single["intervals"]["R@2"]["high"]


def test_measures_that_count_have_no_interval(mixed: Path) -> None:
    done = run_stage("evaluate", "--qrels", "qrels", "--measures", "NumRet R@2", "--run", "good", "--confidence", 0.9)
    assert [line.split() for line in done.out.splitlines()[1:]] == [
        ["all", "60.0000", "1.0000"], ["90", "%", "low", "1.0000"], ["90", "%", "high", "1.0000"]
    ]  # fmt: skip


def test_an_interval_agrees_with_scipy() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(1).random(60)
    ours = bootstrap_interval([[*values]], BootstrapOptions(confidence=0.95, bootstraps=20_000), 3)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=4).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.003)


def test_queries_of_several_collections_are_drawn_apart() -> None:
    options = BootstrapOptions(confidence=0.95, bootstraps=500)
    assert bootstrap_interval([[0.0] * 9, [1.0] * 2], options, 1) == (0.5, 0.5)
    low, high = bootstrap_interval([[0.0] * 9 + [1.0] * 2], options, 1) or (0, 0)
    assert low < 2 / 11 < high


def test_the_confidence_holds_over_many_samples() -> None:
    random = np.random.default_rng(5)
    options = BootstrapOptions(confidence=0.9, bootstraps=300)
    intervals = [bootstrap_interval([random.exponential(size=50).tolist()], options, n) for n in range(300)]
    covered = sum(interval is not None and interval.low <= 1 <= interval.high for interval in intervals)
    assert 0.8 < covered / 300 < 0.96


@pytest.mark.parametrize(
    ("differences", "effect"),
    [([0.0, 0.0], 0.0), ([1.0, 1.0], None), ([1.0], None), ([0.1, 0.3], 2**0.5), ([-0.1, -0.3], -(2**0.5))],
)
def test_the_effect_size_is_the_mean_in_standard_deviations(differences: list[float], effect: float | None) -> None:
    assert effect_size(differences) == (effect if effect is None else pytest.approx(effect))


def of_collections(values: Mapping[str, list[float]]) -> Evaluation:
    per_query = {f"{name}/{n}": {"AP": value} for name, group in values.items() for n, value in enumerate(group)}
    means = {name: {"AP": sum(group) / len(group)} for name, group in values.items()}
    return Evaluation({"AP": sum(mean["AP"] for mean in means.values()) / len(means)}, per_query, (), 10, means)


def test_the_tests_are_of_the_difference_that_is_shown_where_collections_count_the_same() -> None:
    """Pooled, the loss of sixty queries would be significant, beside a mean that is a gain."""
    base = of_collections({"small": [0.0, 0.0], "large": [0.5] * 60})
    other = of_collections({"small": [1.0, 0.4], "large": [0.4 + 0.001 * n for n in range(60)]})
    difference = compare({"base": base, "other": other}, ["AP"], "base").differences["other"]["AP"]
    assert difference.aggregate == pytest.approx((0.7 - 0.0705) / 2)
    assert difference.effect_size is not None
    assert difference.effect_size > 0
    assert not difference.significant
    per_query = [*difference.per_query.values()]
    weighted = [62 / (2 * 2) * value for value in per_query[:2]] + [62 / (2 * 60) * value for value in per_query[2:]]
    assert sum(weighted) / 62 == pytest.approx(difference.aggregate)
    assert difference.t_test.raw == t_test(weighted)
    assert difference.randomization.raw == randomization_test(weighted)


# The table of a paper.


def test_a_latex_table_marks_the_best_and_the_significant(mixed: Path) -> None:
    options = ("--run", "poor", "--run", "mixed_50%", "--run", "good", "--baseline", "poor", "--format", "latex")
    assert evaluate(*options).out.splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"run & RR@10 & R@2 \\",
        r"\midrule",
        r"poor & 0.3333 & 0.0000 \\",
        r"mixed\_50\% & 0.8333$^{*}$ & 0.7500$^{*}$ \\",
        r"good & \textbf{1.0000}$^{*}$ & \textbf{1.0000}$^{*}$ \\",
        r"\bottomrule",
        r"\end{tabular}",
        (
            r"% * marks a difference from poor with p < 0.05 in both the paired t-test and the paired randomization "
            r"test, two-sided, Holm-corrected for 2 runs; 20 queries."
        ),
    ]
    bounds = evaluate(*options, "--confidence", 0.95).out
    assert r"good & \textbf{1.0000}$^{*}$ {\scriptsize [1.0000, 1.0000]}" in bounds
    assert r"% Brackets: 95 \% percentile intervals of 10,000 bootstrap samples of the queries." in bounds


def test_a_markdown_table_marks_the_best_and_the_significant(mixed: Path) -> None:
    options = ("--run", "a|b=poor", "--run", "mixed_50%", "--format", "markdown")
    assert evaluate(*options, "--baseline", "a|b").out.splitlines() == [
        "| run | RR@10 | R@2 |",
        "|---|---:|---:|",
        r"| a\|b | 0.3333 | 0.0000 |",
        r"| mixed\_50% | **0.8333**\* | **0.7500**\* |",
        "",
        (
            r"\* marks a difference from a\|b with p \< 0.05 in both the paired t-test and the paired randomization "
            r"test, two-sided, Holm-corrected for 1 run; 20 queries."
        ),
    ]
    assert evaluate("--run", "good", "--format", "markdown").out.splitlines()[2:] == ["| good | 1.0000 | 1.0000 |"]


def test_the_formats_are_in_the_help() -> None:
    assert "table|json|csv|latex|markdown" in re.sub(r"[\s│]", "", run_stage("evaluate", "--help").out)


# The figure.


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "beginning"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_same_values_give_the_same_bytes_of_a_figure(collection: Path, suffix: str, beginning: bytes) -> None:
    written = []
    for name in ("one", "two"):
        done = evaluate(*RUNS, "--run", "_$a=poor", "--baseline", "poor", "--plot", f"{name}{suffix}")
        assert (done.code, done.err) == (0, "")
        assert "+0.6667*" in done.out
        written.append(Path(f"{name}{suffix}").read_bytes())
    assert written[0].startswith(beginning)
    assert written[0] == written[1]
    assert not list(collection.glob("*.partial"))


def comparison_of(
    runs: Mapping[str, Sequence[float]], baseline: str | None, depth: int = 100, measures: Sequence[str] = ("AP",)
) -> Comparison:
    """Compare runs, which are given by the values of their queries: the same in each measure."""
    evaluations = {
        label: Evaluation(
            dict.fromkeys(measures, sum(values) / len(values)) | {f"R@{cutoff}": cutoff / 1000 for cutoff in DEPTHS},
            {f"q{n}": dict.fromkeys(measures, value) for n, value in enumerate(values)},
            (),
            depth,
        )
        for label, values in runs.items()
    }
    return compare(evaluations, measures, baseline)


RECALL = [R @ depth for depth in DEPTHS]
VALUES = {"good": [1.0, 0.5, 0.75, 0.25], "poor": [0.0, 1.0, 0.5, 0.25]}
MANY = {"base": [0.5] * 10, "better": [0.75] * 10, "much better": [1.0] * 10, "mixed": [0.25, 0.75] * 5}


@pytest.mark.filterwarnings("error")
def test_the_figure_shows_each_difference_and_recall_to_the_depth_of_the_run() -> None:
    differences, recall = figure_of(comparison_of(VALUES, "poor"), RECALL).axes
    drawn = [patch.get_data().values for patch in differences.patches]  # type: ignore[attr-defined]
    assert [float(gain + loss) for gain, loss in zip(*drawn, strict=True)] == [1.0, 0.25, 0.0, -0.5]
    assert differences.get_xlabel() == "queries: 2 better, 1 equal, 1 worse"
    for line in recall.get_lines():
        assert list(line.get_xdata()) == [1, 2, 5, 10, 20, 50, 100]  # type: ignore[arg-type]
        assert list(line.get_ydata()) == [depth / 1000 for depth in (1, 2, 5, 10, 20, 50, 100)]  # type: ignore[arg-type]
    legend = recall.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["good", "poor"]


def test_the_panels_of_a_measure_share_their_scale_and_stand_in_a_row() -> None:
    comparison = comparison_of(MANY, "base", measures=("AP", "nDCG@10"))
    *panels, _ = figure_of(comparison, RECALL).axes
    assert [panel.get_ylabel() for panel in panels] == ["Δ AP", "", "", "Δ nDCG@10", "", ""]
    assert [panel.get_subplotspec().rowspan.start for panel in panels] == [0, 0, 0, 1, 1, 1]  # type: ignore[union-attr]
    scales = [panel.get_ylim() for panel in panels]
    assert len(set(scales[:3])) == 1
    assert scales[0][0] <= -0.25
    assert scales[0][1] >= 0.5


def test_the_figure_marks_significant_differences_and_names_tests_and_correction() -> None:
    figure = figure_of(comparison_of(MANY, "base"), RECALL)
    *panels, _ = figure.axes
    assert [panel.get_title() for panel in panels] == ["better: +0.2500*", "much better: +0.5000*", "mixed: +0.0000"]
    assert [panel.title.get_fontweight() for panel in panels] == ["bold", "bold", "normal"]
    assert panels[2].texts[0].get_text() == "t-test p: 1.0000\nrandomization p: 1.0000"
    explanation = figure.get_supxlabel()
    assert "p < 0.05 in both tests" in explanation
    assert "Holm-corrected for 3 runs" in explanation
    assert "from base over 10 judged queries" in explanation


def test_more_than_four_runs_are_wrapped_and_keep_the_scale() -> None:
    runs = {f"run{number}": [number / 10] * 3 for number in range(6)}
    *panels, _ = figure_of(comparison_of(runs, "run0"), RECALL).axes
    assert [panel.get_subplotspec().rowspan.start for panel in panels] == [0, 0, 0, 0, 1]  # type: ignore[union-attr]
    assert len({panel.get_ylim() for panel in panels}) == 1


def test_the_figure_without_a_baseline_shows_recall_only() -> None:
    figure = figure_of(comparison_of(VALUES, None, depth=5), RECALL)
    (panel,) = figure.axes
    assert panel.get_title() == "recall at depth"
    assert figure.get_supxlabel() == ""


def test_recall_in_the_figure_has_the_relevance_level_of_the_measures(collection: Path) -> None:
    options = ["--qrels", "qrels", "--run", "good", "--measures", "R(rel=2)@10"]
    plain, drawn = run_stage("evaluate", *options), run_stage("evaluate", *options, "--plot", "one.svg")
    assert drawn == plain
    assert "<!-- R(rel=2) -->" in Path("one.svg").read_text()


def test_an_error_names_the_extra_if_matplotlib_is_missing(collection: Path) -> None:
    options = ["evaluate", "--run", "good", "--qrels", "qrels", "--plot", "one.png"]
    code = (
        f"import sys; sys.modules['matplotlib'] = None; sys.argv[1:] = {options!r}\n"
        "from splade_anserini.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: matplotlib is not installed.\nRun: pip install 'splade-anserini[plot]'\n"


def test_a_label_is_the_shortest_end_of_a_path_that_no_other_run_has() -> None:
    assert list(named_runs(["a/b/x.txt", "c/y.txt"])) == ["x.txt", "y.txt"]
    assert list(named_runs(["a/b/x.txt", "c/b/x.txt"])) == ["a/b/x.txt", "c/b/x.txt"]
    assert list(named_runs(["a/b/x.txt", "a/c/x.txt"])) == ["b/x.txt", "c/x.txt"]


@pytest.mark.parametrize("options", [(), ("--per-query",)])
def test_every_csv_row_has_the_columns_of_the_header(collection: Path, options: tuple[str, ...]) -> None:
    done = evaluate(*RUNS, "--baseline", "poor", "--format", "csv", "--permutations", 99, *options)
    rows = list(csv.reader(io.StringIO(done.out)))
    assert {len(row) for row in rows} == {len(rows[0])}
