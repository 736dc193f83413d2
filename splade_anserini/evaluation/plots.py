"""A plot of a comparison: the difference from the baseline for each query, and recall at several depths."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from splade_anserini.artifacts.figures import plain_label, require_figure_format, save_figure
from splade_anserini.evaluation.comparison import Comparison, Difference
from splade_anserini.evaluation.measures import DEPTHS
from splade_anserini.evaluation.rendering import legend, p_cell
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from ir_measures import Measure
    from matplotlib.figure import Figure

_COLUMNS = 4
_PANEL = (4.2, 2.8)
"""Width and height in inches."""
_TITLE = 36
"""Characters of a title that fit above a panel."""


def plot_comparison(comparison: Comparison, recall: Sequence["Measure"], path: StrPath) -> None:
    """Write the figure of a comparison as PNG, SVG or PDF, by the file's suffix; equal values give equal bytes.

    `recall` is R at each of `DEPTHS`, which the evaluations must have too. Raises the errors of `save_figure`.
    """
    require_figure_format(path)
    save_figure(figure_of(comparison, recall), path)


def figure_of(comparison: Comparison, recall: Sequence["Measure"]) -> "Figure":
    """Draw a row of panels for each measure, with a panel for each run but the baseline, and recall below.

    The panels of a measure share their y axis. A star marks significant differences; the lines below the panels say
    which tests and which correction.
    """
    from matplotlib.figure import Figure

    runs = [*comparison.differences]
    columns = min(_COLUMNS, max(len(runs), 1))
    rows = -(-len(runs) // columns)
    grid_rows = rows * len(comparison.measures) + 1 if runs else 1
    width, height = _PANEL
    figure = Figure(figsize=(columns * width if columns > 1 else 1.5 * width, grid_rows * height + 0.6))
    figure.set_layout_engine("constrained", h_pad=0.1)
    grid = figure.add_gridspec(grid_rows, columns)
    for index, measure in enumerate(comparison.measures if runs else ()):
        first: Any = None
        for position, label in enumerate(runs):
            row, column = divmod(position, columns)
            axis = figure.add_subplot(grid[index * rows + row, column], sharey=first)
            first = first or axis
            _draw_differences(axis, label, comparison.differences[label][measure])
            axis.set_ylabel(f"Δ {measure}" if column == 0 else "")
            axis.tick_params(labelleft=column == 0)
    _draw_recall(figure.add_subplot(grid[-1, :]), comparison, recall)
    if runs:
        figure.supxlabel(plain_label("\n".join(legend(comparison))), x=0.01, ha="left", fontsize="small")
    return figure


def _draw_differences(axis: Any, label: str, difference: Difference) -> None:
    """Draw a bar for each query, sorted from the greatest gain to the greatest loss."""
    values = np.sort([*difference.per_query.values()])[::-1]
    # One outline for all bars: thousands of rectangles take a minute.
    axis.stairs(values.clip(min=0), fill=True, color="C0")
    axis.stairs(values.clip(max=0), fill=True, color="C3")
    axis.axhline(0, color="black", lw=0.8)
    title = textwrap.fill(f"{label}: {difference.aggregate:+.4f}{'*' if difference.significant else ''}", _TITLE)
    axis.set_title(plain_label(title), fontsize=11, fontweight="bold" if difference.significant else "normal")
    axis.set(xlabel=f"queries: {difference.wins} better, {difference.ties} equal, {difference.losses} worse")
    axis.set_xlim(0, len(values))
    p_values = f"t-test p: {p_cell(difference.t_test.holm)}\nrandomization p: {p_cell(difference.randomization.holm)}"
    axis.text(0.98, 0.96, p_values, transform=axis.transAxes, ha="right", va="top", fontsize="small")


def _draw_recall(axis: Any, comparison: Comparison, recall: Sequence["Measure"]) -> None:
    """Draw a line for each run, to the depth of its longest ranking."""
    for label, evaluation in comparison.evaluations.items():
        depths = [depth for depth in DEPTHS if depth <= evaluation.depth]
        values = [evaluation.aggregate[str(measure)] for _, measure in zip(depths, recall, strict=False)]
        axis.plot(depths, values, ".-", label=plain_label(label))
    axis.set(title="recall at depth", xlabel="documents", ylabel=str(recall[-1]).rpartition("@")[0], xscale="log")
    axis.set(ylim=(0, 1.02), xticks=DEPTHS, xticklabels=DEPTHS)
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend()
