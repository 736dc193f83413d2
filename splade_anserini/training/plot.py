"""The plot of a training run: losses, sparsity, gradient, learning rate, and validation over the steps."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from splade_anserini.artifacts.figures import plain_label, plain_number, save_figure, use_log_scale
from splade_anserini.cards.training_recipe import RegularizerKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

type Rows = Sequence[Mapping[str, float]]

_COLUMNS = 3
_PANEL = (4.4, 2.7)
"""Width and height in inches."""
_LOG_SCALE_RATIO = 20
"""Values whose greatest is more than this many times their least are drawn on a logarithmic scale."""

_NO_LOSS = {"step", "loss", "learning rate", "gradient", "FLOPS", "active q", "active d", "empty q", "empty d"}
"""Names in a row of the log that are not a term of the loss."""
_REGULARIZERS = {f"{kind} {side}" for kind in get_args(RegularizerKind.__value__) for side in "qd"}
_SIDES: dict[str, tuple[str, dict[str, Any]]] = {
    "d": ("documents", {"color": "C0"}),
    "q": ("queries", {"color": "C1", "ls": (0, (3, 1.5))}),
}
"""Label and style of each side; the dashed line of queries lies over that of documents and hides none of it."""


class _Panel(NamedTuple):
    title: str
    rows: Rows
    names: Sequence[str]
    """The names in the log of the curves."""
    from_zero: float | None = None
    """The least height of an axis that starts at 0; None: it may start anywhere."""


def plot(log: Rows, path: Path, title: str) -> None:
    """Draw the log and write it as PNG, SVG or PDF, depending on the suffix of `path`."""
    save_figure(figure_of(log, title), path)


def figure_of(log: Rows, title: str) -> "Figure":
    """Draw a panel for each loss and each measure of validation, and panels for what queries and documents share."""
    from matplotlib.figure import Figure

    panels = list(_panels(log))
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * _PANEL[0], rows * _PANEL[1] + 0.5), layout="constrained")
    figure.suptitle(plain_label(title))
    axes = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    last_step = max(row["step"] for row in log)
    for axis, panel in zip(axes, panels, strict=False):
        _draw(axis, panel)
        axis.set_xlim(0, last_step * 1.03)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return figure


def _panels(log: Rows) -> Iterator[_Panel]:
    steps = [row for row in log if "loss" in row]
    validations = [row for row in log if "loss" not in row]
    terms = [name for name in steps[0] if name not in _NO_LOSS]
    losses = [name for name in terms if name not in _REGULARIZERS]
    regularizers = [name for name in terms if name in _REGULARIZERS]
    yield _Panel("Loss: sum of all terms", steps, ["loss"])
    for name in losses:
        yield _Panel(f"Loss: {name}", steps, [name])
    if regularizers:
        kind = regularizers[0].rpartition(" ")[0]
        yield _Panel(f"Loss: {kind} regularizer, weighted", steps, regularizers)
    yield _Panel("Active entries in a vector", steps, ["active d", "active q"])
    yield _Panel("FLOPS in a batch, Σ p_q p_d", steps, ["FLOPS"])
    yield _Panel("Share of empty vectors", steps, ["empty d", "empty q"], 0.1)
    yield _Panel("Norm of the gradient before clipping", steps, ["gradient"])
    yield _Panel("Learning rate", steps, ["learning rate"], 0.0)
    for name in validations[0] if validations else ():
        if name != "step":
            yield _Panel(f"Validation: {name}", validations, [name])


def _draw(axis: Any, panel: _Panel) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    sides = len(panel.names) > 1 or panel.names[0] in _REGULARIZERS
    for name in sorted(panel.names):
        label, style = _SIDES[name[-1]] if sides else ("", {"color": "C0"})
        rows = [row for row in panel.rows if name in row]
        marker = "." if len(rows) < 30 else ""
        axis.plot(
            [row["step"] for row in rows], [row[name] for row in rows], marker=marker, lw=1.2, label=label, **style
        )
    _scale(axis, [row[name] for row in panel.rows for name in panel.names if name in row], panel.from_zero)
    axis.set_title(plain_label(panel.title), fontsize=10)
    axis.set_xlabel("step", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda number, _: plain_number(number)))
    axis.grid(alpha=0.3)
    if sides:
        axis.legend(fontsize=8)


def _scale(axis: Any, values: Sequence[float], from_zero: float | None) -> None:
    """Choose a logarithmic or linear y axis, and label it with plain numbers."""
    from matplotlib.ticker import FuncFormatter

    positive = [value for value in values if value > 0]
    if from_zero is not None:
        top = max([from_zero, *positive])
        if top:
            axis.set_ylim(-0.03 * top, 1.08 * top)
    elif positive and max(positive) > _LOG_SCALE_RATIO * min(positive):
        use_log_scale(axis, "y")
        return
    axis.yaxis.set_major_formatter(FuncFormatter(lambda number, _: plain_number(number)))
