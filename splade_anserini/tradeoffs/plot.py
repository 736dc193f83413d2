"""The plot of a sweep: each measure against each cost, with the Pareto fronts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from splade_anserini.artifacts.figures import plain_label, use_log_scale
from splade_anserini.tradeoffs.labels import Box, Label, place_labels
from splade_anserini.tradeoffs.results import Result, pareto_fronts
from splade_anserini.tradeoffs.settings import EXACT, Setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

type Point = tuple[float, float]

_COSTS = {"flops": "FLOPS, Σ p_q p_d", "bytes": "index size, MB", "milliseconds": "ms per query, one thread"}
_KINDS = {
    EXACT: ("*", "black", "unpruned, exact search"),
    "documents": ("o", "C0", "static pruning of documents"),
    "bits": ("s", "C1", "quantization of impacts"),
    "queries": ("^", "C2", "query pruning"),
    "two-step": ("D", "C3", "two-step search"),
    "query-idf": ("P", "C5", "idf in queries"),
    "hybrid": ("v", "C6", "with BM25"),
    "several": ("X", "C4", "several of these"),
}
"""Kind of a setting → marker, color, and entry in the legend."""

_LABEL_SIZE = 7.5
"""Font size of labels, in points."""
_MOST_LABELS = 10
"""Labels in a panel, at most."""

_STAR_SIZE = 13
_MARKER_SIZE = 6
_SMALL_MARKER_SIZE = 3.5
"""Size of markers when there are more than 100 settings."""


def figure_of(results: Mapping[Setting, Result], measures: Sequence[str]) -> "Figure":
    """Draw one row of panels per measure and one column per cost.

    Each setting is a marker that shows what it varies. Those on the Pareto front are connected and labelled, as far as
    there is room.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 1.2 + 3.4 * len(measures)), layout="constrained")
    figure.suptitle("Effectiveness–efficiency trade-offs")
    grid = figure.subplots(len(measures), len(_COSTS), squeeze=False, sharex="col", sharey="row")
    panels = [
        panel for measure, axes in zip(measures, grid, strict=True) for panel in _draw_panels(axes, results, measure)
    ]
    for axis, (cost, label) in zip(grid[-1], _COSTS.items(), strict=True):
        axis.set_xlabel(label)
        if all(getattr(result, cost) > 0 for result in results.values()):
            use_log_scale(axis)
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.align_ylabels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    # Room for labels is known when the layout is final.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for panel in panels:
        _add_labels(panel)
    return figure


class _Panel(NamedTuple):
    axis: Any
    points: Mapping[Setting, Point]
    front: Mapping[Setting, Point]
    """Those of `points` that are on the Pareto front."""


def _draw_panels(axes: Iterable[Any], results: Mapping[Setting, Result], measure: str) -> Iterator[_Panel]:
    """Draw a measure against each cost."""
    fronts = pareto_fronts(list(results.values()), measure)
    for axis, cost in zip(axes, _COSTS, strict=True):
        points = {setting: _point(result, cost, measure) for setting, result in results.items()}
        front = {setting: points[setting] for setting, on in zip(results, fronts[cost], strict=True) if on}
        if cost == next(iter(_COSTS)):
            axis.set_ylabel(plain_label(measure))
        _draw_points(axis, points, front)
        yield _Panel(axis, points, front)


def _draw_points(axis: Any, points: Mapping[Setting, Point], front: Mapping[Setting, Point]) -> None:
    steps = sorted(front.values())
    axis.step([x for x, _ in steps], [y for _, y in steps], where="post", color="0.5", lw=1.2, label="Pareto front")
    for kind, (marker, color, name) in _KINDS.items():
        members = [point for setting, point in points.items() if _kind(setting) == kind]
        if members:
            layer = {EXACT: 4.0, "several": 2.5}.get(kind, 3.0)
            style = {"ms": _marker_size(kind, len(points)), "color": color, "mec": "white", "mew": 0.5}
            axis.plot([x for x, _ in members], [y for _, y in members], marker, label=name, zorder=layer, **style)
    axis.grid(alpha=0.3)
    axis.margins(0.08)


def _marker_size(kind: str, setting_count: int) -> float:
    if kind == EXACT:
        return _STAR_SIZE
    return _MARKER_SIZE if setting_count <= 100 else _SMALL_MARKER_SIZE


def _add_labels(panel: _Panel) -> None:
    """Label the settings on the Pareto front where there is room, the best ones first."""
    axis, points, front = panel
    pixels_per_point = axis.figure.dpi / 72

    def position(point: Point) -> Point:
        x, y = axis.transData.transform(point) / pixels_per_point
        return float(x), float(y)

    # The exact search is in the legend.
    labelled = [(setting, point) for setting, point in front.items() if _kind(setting) != EXACT]
    best_first = _evenly_chosen(sorted(labelled, key=lambda item: -item[1][1]), _MOST_LABELS)
    labels = [Label(*position(point), _text_width(_label(setting)), 1.2 * _LABEL_SIZE) for setting, point in best_first]
    area = Box(*(float(edge) for edge in axis.bbox.extents / pixels_per_point))
    obstacles = [
        _square(position(point), _marker_size(_kind(setting), len(points)) / 2 + 1) for setting, point in points.items()
    ]
    boxes = place_labels(labels, area, obstacles, _step_segments([position(point) for point in sorted(front.values())]))
    for (setting, point), label, box in zip(best_first, labels, boxes, strict=True):
        if box:
            offset = ((box.left + box.right) / 2 - label.x, (box.bottom + box.top) / 2 - label.y)
            far = min(abs(box.bottom - label.y), abs(box.top - label.y)) > label.height
            leader = {"arrowstyle": "-", "color": "0.6", "lw": 0.5, "shrinkA": 0, "shrinkB": 3} if far else None
            axis.annotate(
                _label(setting), point, offset, textcoords="offset points", ha="center", va="center",
                fontsize=_LABEL_SIZE, color=_KINDS[_kind(setting)][1], arrowprops=leader,
            )  # fmt: skip


def _evenly_chosen[T](items: Sequence[T], count: int) -> Sequence[T]:
    """Return at most `count` of the items, including the first and the last one."""
    if len(items) <= count:
        return items
    return [items[position * (len(items) - 1) // (count - 1)] for position in range(count)]


def _text_width(text: str) -> float:
    """Return the width of a label in points."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=_LABEL_SIZE).get_extents().width)


def _square(center: Point, radius: float) -> Box:
    x, y = center
    return Box(x - radius, y - radius, x + radius, y + radius)


def _step_segments(corners: Sequence[Point]) -> list[Box]:
    """Return the horizontal and vertical segments of a step line through points in increasing order."""
    segments = []
    for (x, y), (next_x, next_y) in pairwise(corners):
        segments += [Box(x, y, next_x, y), Box(next_x, y, next_x, next_y)]
    return segments


def _point(result: Result, cost: str, measure: str) -> Point:
    value = float(getattr(result, cost))
    return value / 1e6 if cost == "bytes" else value, result.measures[measure]


def _kind(setting: Setting) -> str:
    match [*setting.variations]:
        case []:
            return EXACT
        case [name]:
            return name
        case _:
            return "several"


def _label(setting: Setting) -> str:
    """Return a label that is short, because the marker shows what a setting varies unless it varies several things."""
    match [*setting.variations.items()]:
        case [("bits", bits)]:
            return f"{bits} bits"
        case [("two-step", terms)]:
            return f"{terms} tokens"
        case [("query-idf", alpha)]:
            return f"idf^{alpha}"
        case [("hybrid", weight)]:
            return f"BM25 {weight}"
        case [(_, value)]:
            return value
        case _:
            return str(setting)
