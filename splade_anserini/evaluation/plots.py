"""Runs as a picture: how each query changes against the baseline, and recall at depth."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from splade_anserini.artifacts.figures import plain, require_picture, save
from splade_anserini.evaluation.comparison import Comparison
from splade_anserini.evaluation.measures import DEPTHS

if TYPE_CHECKING:
    from ir_measures import Measure
    from matplotlib.figure import Figure

_COLUMNS = 3


def draw(comparison: Comparison, recall: Sequence["Measure"], path: Path) -> None:
    """Draw the comparison as PNG or SVG, as the suffix says; the same numbers give the same bytes.

    `recall` is R at each of `DEPTHS`, which the evaluations hold besides what is compared. Raises what
    `pictures.save` does.
    """
    require_picture(path)
    save(figure_of(comparison, recall), path)


def figure_of(comparison: Comparison, recall: Sequence["Measure"]) -> "Figure":
    """Draw one panel for each run and measure that is compared with the baseline, and one of recall."""
    from matplotlib.figure import Figure

    compared = [(label, measure) for label in comparison.differences for measure in comparison.measures]
    columns = min(_COLUMNS, len(compared) + 1)
    rows = -(-(len(compared) + 1) // columns)
    figure = Figure(figsize=(5 * columns, 3.6 * rows), layout="constrained")
    axes = iter(figure.subplots(rows, columns, squeeze=False).flat)
    for (label, measure), axis in zip(compared, axes, strict=False):
        _draw_differences(axis, comparison, label, measure)
    _draw_recall(next(axes), comparison, recall)
    for axis in axes:
        axis.set_axis_off()
    return figure


def _draw_differences(axis: Any, comparison: Comparison, label: str, measure: str) -> None:
    """Draw a bar for each query, the greatest gain first."""
    difference = comparison.differences[label][measure]
    values = np.sort([*difference.per_query.values()])[::-1]
    # One outline for all bars: thousands of rectangles take a minute.
    axis.stairs(values.clip(min=0), fill=True, color="C0")
    axis.stairs(values.clip(max=0), fill=True, color="C3")
    axis.axhline(0, color="black", lw=0.8)
    axis.set(
        title=plain(f"{label} − {comparison.baseline}: {difference.aggregate:+.4f}"),
        xlabel=f"queries: {difference.wins} better, {difference.ties} equal, {difference.losses} worse",
        ylabel=f"difference in {measure}",
        xlim=(0, len(values)),
    )


def _draw_recall(axis: Any, comparison: Comparison, recall: Sequence["Measure"]) -> None:
    """Draw a line for each run, down to where its longest ranking ends."""
    for label, evaluation in comparison.evaluations.items():
        depths = [depth for depth in DEPTHS if depth <= evaluation.depth]
        values = [evaluation.aggregate[str(measure)] for _, measure in zip(depths, recall, strict=False)]
        axis.plot(depths, values, ".-", label=plain(label))
    axis.set(title="recall at depth", xlabel="documents", ylabel=str(recall[-1]).rpartition("@")[0], xscale="log")
    axis.set(ylim=(0, 1.02), xticks=DEPTHS, xticklabels=DEPTHS)
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend()
