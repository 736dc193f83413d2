"""The results of the experiments as tables in Markdown, and as a plot."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from prepare import TRAINED, ZERO_SHOT
from runs import BASE, QUESTIONS, RUNS

COLUMNS = (
    (TRAINED, "RR@10"),
    (TRAINED, "nDCG@10"),
    (TRAINED, "R@100"),
    *((name, measure) for name in ZERO_SHOT for measure in ("nDCG@10", "R@100")),
)
BASE_TITLE = "base: max, SPLADE on both sides, rank-IBN, FLOPS"

type Rows = Mapping[str, Mapping[str, Any]]


def tables(rows: Rows) -> str:
    """Return a table of measures for each question, and one of sparsity and time; runs without a row are skipped."""
    trained = [run.name for run in RUNS if run.name in rows]
    others = [name for name in rows if name not in {run.name for run in RUNS}]
    lines = ["### The starting point", "", *_measures(rows, [*others, BASE.name])]
    for group, question in QUESTIONS.items():
        names = [run.name for run in RUNS if run.group in {group, BASE.group} and run.name in rows]
        lines += ["", f"### {question}", "", *_measures(rows, names)]
    lines += ["", "### Active entries, FLOPS, minutes", "", *_sparsity(rows, [*others, *trained])]
    return "\n".join(lines)


def _measures(rows: Rows, names: Sequence[str]) -> Iterator[str]:
    yield f"| | {' | '.join(f'{name} {measure}' for name, measure in COLUMNS)} | FLOPS |"
    yield "|---" * (len(COLUMNS) + 2) + "|"
    for name in names:
        if name in rows:
            cells = [f"{rows[name]['measures'][where][measure]:.3f}" for where, measure in COLUMNS]
            flops = rows[name]["sparsity"].get(TRAINED, {}).get("FLOPS")
            yield f"| {_title(name)} | {' | '.join(cells)} | {'' if flops is None else f'{flops:.2f}'} |"


def _sparsity(rows: Rows, names: Sequence[str]) -> Iterator[str]:
    where = (TRAINED, *ZERO_SHOT)
    heads = [f"{name}: {what}" for name in where for what in ("a query", "a document", "FLOPS")]
    yield f"| | {' | '.join(heads)} | steps | training, min | evaluation, min |"
    yield "|---" * (len(heads) + 4) + "|"
    for name in names:
        row = rows[name]
        if not row["sparsity"]:
            continue
        sparsities = [row["sparsity"][name] for name in where]
        cells = [f"{value['entries q']:.0f} | {value['entries d']:.0f} | {value['FLOPS']:.2f}" for value in sparsities]
        minutes = [row["minutes"].get(part) for part in ("train", "judge")]
        times = ["" if value is None else f"{value:.1f}" for value in minutes]
        yield f"| {_title(name)} | {' | '.join(cells)} | {row.get('steps', 0)} | {' | '.join(times)} |"


def _title(name: str) -> str:
    return BASE_TITLE if name == BASE.name else name


def draw(rows: Rows, path: Path) -> None:
    """Plot effectiveness against FLOPS: a line for each regularizer, points for other runs, a level line for BM25."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    shown = [(TRAINED, "RR@10"), *((name, "nDCG@10") for name in ZERO_SHOT)]
    axes = figure.subplots(1, len(shown))
    for axis, (where, measure) in zip(axes, shown, strict=True):
        _panel(axis, rows, where, measure)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=110)


def _panel(axis: Any, rows: Rows, where: str, measure: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    def point(name: str) -> tuple[float, float]:
        return rows[name]["sparsity"][where]["FLOPS"], rows[name]["measures"][where][measure]

    regularized = {
        "FLOPS": [run.name for run in RUNS if run.name == BASE.name or run.name.startswith("FLOPS")],
        "L1": [run.name for run in RUNS if run.name.startswith("L1")],
    }
    for kind, names in regularized.items():
        points = sorted(point(name) for name in names if name in rows)
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", label=f"regularizer {kind}")
    markers = cycle("x+*^vsPD<>")
    for name, row in rows.items():
        if not row["sparsity"]:
            axis.axhline(row["measures"][where][measure], color="black", linestyle=":", linewidth=1, label=name)
        elif name not in {*regularized["FLOPS"], *regularized["L1"]}:
            axis.plot(*point(name), marker=next(markers), color="grey", linestyle="none", label=name)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("FLOPS, Σ p_q p_d")
    axis.set_ylabel(measure)
    axis.set_title(where)
