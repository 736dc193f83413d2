"""Explanations as a figure of bars."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from splade_anserini.artifacts.figures import plain_label, plain_number, save_figure
from splade_anserini.explaining.sections import Section, Table, shortened
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _ROW, _PANEL = 9.0, 0.24, 0.9
"""Inches: the width of the figure, the height of a row, and of a panel's title and axis."""


def plot_sections(sections: Sequence[Section], path: StrPath) -> None:
    """Write explanations as PNG, SVG or PDF, by the file's suffix. Raises the errors of `save_figure`."""
    save_figure(figure_of(sections), path)


def figure_of(sections: Sequence[Section]) -> "Figure":
    """Draw a panel for each table, one below the other; in each a row for each token."""
    from matplotlib.figure import Figure

    panels = [(section, table) for section in sections for table in section.tables]
    heights = [_PANEL + _ROW * max(1, len(table.rows)) for _, table in panels] or [_PANEL]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (section, table) in zip(axes, panels, strict=False):
        _draw(axis, table, section.greatest)
        name = table.columns[0].title
        title = f"{section.heading}: {shortened(section.title)}" if section.heading else shortened(section.title)
        axis.set_title(plain_label(f"{title} · {name}" if len(section.tables) > 1 else title), loc="left", fontsize=10)
    if not panels:
        axes[0].set_axis_off()
        axes[0].set_title(plain_label(shortened(sections[0].title)) if sections else "")
    return figure


def _draw(axis: Any, table: Table, greatest: float) -> None:
    thickness = 0.8 / len(table.series)
    for number, name in enumerate(table.series):
        positions = [row + (number - (len(table.series) - 1) / 2) * thickness for row in range(len(table.rows))]
        values = [values[number] for values in table.values]
        colors = [f"C{number}" if value >= 0 else "C3" for value in values]
        hatches = ["" if value >= 0 else "////" for value in values]
        axis.barh(positions, values, thickness, color=colors, hatch=hatches, edgecolor="white", label=plain_label(name))
    axis.set_yticks(range(len(table.rows)), [plain_label(_name(row)) for row in table.rows], fontsize=9)
    axis.set_ylim(len(table.rows) - 0.4, -0.6)
    negative = any(value < 0 for values in table.values for value in values)
    axis.set_xlim(-greatest * 1.05 if negative else 0, greatest * 1.05)
    axis.axvline(0, color="black", lw=0.8)
    axis.xaxis.set_major_formatter(lambda number, _: plain_number(round(number, 9)))
    axis.tick_params(labelsize=8)
    if len(table.series) > 1:
        axis.legend(fontsize=8, loc="lower right")
    else:
        axis.set_xlabel(plain_label(table.series[0]), fontsize=8)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)


def _name(row: Sequence[str]) -> str:
    """Return the first cell of a row that has a word."""
    return next((cell for cell in row if cell), "")
