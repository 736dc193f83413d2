"""The table of a paper: a row for each run, the best value of each measure bold, significant differences marked."""

import re
from collections.abc import Callable, Sequence

from splade_anserini.errors import counted
from splade_anserini.evaluation.comparison import SIGNIFICANCE_LEVEL, Comparison
from splade_anserini.evaluation.confidence import Interval
from splade_anserini.evaluation.options import Format

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


def paper_table(comparison: Comparison, format: Format) -> str:  # noqa: A002  # the option's name
    """Return the aggregates of all runs as a table in LaTeX, which needs booktabs, or in Markdown."""
    return _latex(comparison) if format == Format.LATEX else _markdown(comparison)


def _latex(comparison: Comparison) -> str:
    rows = _rows(
        comparison,
        _escape_latex,
        bold=r"\textbf{{{}}}".format,
        star="$^{*}$",
        interval=lambda bounds: rf" {{\scriptsize [{bounds.low:.4f}, {bounds.high:.4f}]}}",
    )
    header, *body = [f"{' & '.join(row)} \\\\" for row in rows]
    columns = "l" + "r" * len(comparison.measures)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *body, r"\bottomrule"]
    notes = [f"% {_escape_latex(line)}" for line in _notes(comparison)]
    return "".join(f"{line}\n" for line in [*lines, r"\end{tabular}", *notes])


def _markdown(comparison: Comparison) -> str:
    rows = _rows(
        comparison,
        _escape_markdown,
        bold="**{}**".format,
        star=r"\*",
        interval=lambda bounds: f" [{bounds.low:.4f}, {bounds.high:.4f}]",
    )
    header, *body = [f"| {' | '.join(row)} |" for row in rows]
    lines = [header, f"|---|{'---:|' * len(comparison.measures)}", *body, ""]
    notes = [_escape_markdown(line) for line in _notes(comparison)]
    return "".join(f"{line}\n" for line in [*lines, *notes]).rstrip("\n") + "\n"


def _rows(
    comparison: Comparison,
    escape: Callable[[str], str],
    *,
    bold: Callable[[str], str],
    star: str,
    interval: Callable[[Interval], str],
) -> list[list[str]]:
    """Return the header and a row for each run; with several runs, the best values are bold."""
    best = {
        measure: max(f"{evaluation.aggregate[measure]:.4f}" for evaluation in comparison.evaluations.values())
        for measure in comparison.measures
    }
    rows = [["run", *map(escape, comparison.measures)]]
    for label, evaluation in comparison.evaluations.items():
        row = [escape(label)]
        for measure in comparison.measures:
            cell = f"{evaluation.aggregate[measure]:.4f}"
            if len(comparison.evaluations) > 1 and cell == best[measure]:
                cell = bold(cell)
            difference = comparison.differences.get(label, {}).get(measure)
            cell += star if difference and difference.significant else ""
            bounds = comparison.intervals.get(label, {}).get(measure)
            row.append(cell + (interval(bounds) if bounds else ""))
        rows.append(row)
    return rows


def _notes(comparison: Comparison) -> Sequence[str]:
    """Return the sentences for the caption."""
    queries = counted(len(comparison.queries), "query", "queries")
    notes = []
    if comparison.baseline is not None:
        notes.append(
            f"* marks a difference from {comparison.baseline} with p < {SIGNIFICANCE_LEVEL} in both the paired t-test "
            f"and the paired randomization test, two-sided, Holm-corrected for "
            f"{counted(len(comparison.differences), 'run')}; {queries}."
        )
    if comparison.bootstrap.confidence is not None:
        percent = f"{100 * comparison.bootstrap.confidence:g} %"
        notes.append(
            f"Brackets: {percent} percentile intervals of {comparison.bootstrap.bootstraps:,} bootstrap samples of "
            f"the queries."
        )
    return notes


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)
