"""A sweep as a picture: effectiveness against each cost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from splade_anserini.artifacts.figures import plain_label
from splade_anserini.tradeoffs.rows import Row, fronts
from splade_anserini.tradeoffs.settings import EXACT, Setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = {"flops": "FLOPS, Σ p_q p_d", "bytes": "index, MB", "milliseconds": "ms a query, one thread"}
_LINE = 0.03
"""The height of a name, as a share of a panel's."""

_MARKS = {EXACT: "*", "documents": "o", "bits": "s", "queries": "^", "two-phase": "D", "several": "x"}


def figure_of(rows: Mapping[Setting, Row], measure: str) -> "Figure":
    """Draw a panel for each cost, each setting in it as a mark by what it varies, and the Pareto front as a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17, 6), layout="constrained")
    marks = fronts(list(rows.values()), measure)
    for axis, (cost, label) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
        _draw(axis, rows, cost, measure, marks[cost])
        axis.set(xlabel=label, ylabel=plain_label(measure))
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    return figure


def _draw(axis: Any, rows: Mapping[Setting, Row], cost: str, measure: str, front: list[bool]) -> None:
    points = {setting: _point(row, cost, measure) for setting, row in rows.items()}
    best = sorted(points[setting] for setting, on in zip(rows, front, strict=True) if on)
    axis.step([x for x, _ in best], [y for _, y in best], where="post", color="black", lw=1, label="Pareto front")
    for kind, mark in _MARKS.items():
        some = [point for setting, point in points.items() if _kind(setting) == kind]
        if some:
            axis.plot([x for x, _ in some], [y for _, y in some], mark, ms=12 if mark == "*" else 6, label=kind)
    _scale(axis)
    _name(axis, {str(setting): points[setting] for setting, on in zip(rows, front, strict=True) if on})


def _scale(axis: Any) -> None:
    """Make the costs' axis logarithmic, with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set(xscale="log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _name(axis: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Write names beside points, towards the middle, where there is room: the best first, none on another."""
    bottom, top = axis.get_ylim()
    left, right = axis.get_xlim()
    room = _LINE * (top - bottom)
    last = top + room
    for name, (x, y) in sorted(points.items(), key=lambda item: -item[1][1]):
        if last - y >= room:
            offset, side = ((6, -9), "left") if x * x < left * right else ((-6, 3), "right")
            axis.annotate(plain_label(name), (x, y), offset, textcoords="offset points", ha=side, fontsize=7)
            last = y


def _point(row: Row, cost: str, measure: str) -> tuple[float, float]:
    value = float(getattr(row, cost))
    return value / 1e6 if cost == "bytes" else value, row.measures[measure]


def _kind(setting: Setting) -> str:
    match [*setting.parts]:
        case []:
            return EXACT
        case [one]:
            return one
        case _:
            return "several"
