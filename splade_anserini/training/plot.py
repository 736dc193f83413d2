"""The course of a training run as a picture."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from splade_anserini.artifacts.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

type Rows = Sequence[Mapping[str, float]]


class _Panel(NamedTuple):
    title: str
    rows: Rows
    lines: Mapping[str, str]
    """Name in the log → label."""
    scale: str = "linear"


_PLAIN = {"step", "learning rate", "gradient", "FLOPS", "active q", "active d", "empty q", "empty d"}
"""What a row of the log holds besides the loss and its parts."""


def plot(log: Rows, path: Path, title: str) -> None:
    """Draw the log as PNG or SVG."""
    save_figure(figure_of(log, title), path)


def figure_of(log: Rows, title: str) -> "Figure":
    """Draw the parts of the loss, active entries, FLOPS, empty vectors, gradients, and validation if there is any."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    figure.suptitle(title)
    for axis, panel in zip(figure.subplots(2, 3).flat, _panels(log), strict=True):
        _draw(axis, panel)
    return figure


def _panels(log: Rows) -> Iterator[_Panel]:
    steps = [row for row in log if "loss" in row]
    validated = [row for row in log if "loss" not in row]
    parts = [name for row in steps[:1] for name in row if name not in _PLAIN]
    measures = [name for row in validated[:1] for name in row if name != "step"]
    yield _Panel("parts of the loss", steps, {name: name for name in parts})
    yield _Panel("active entries", steps, {"active q": "queries", "active d": "documents"}, "log")
    yield _Panel("FLOPS, Σ p_q p_d", steps, {"FLOPS": "in a batch"}, "log")
    yield _Panel("share of empty vectors", steps, {"empty q": "queries", "empty d": "documents"})
    yield _Panel("norm of the gradient", steps, {"gradient": "before clipping"}, "log")
    yield _Panel("validation", validated, {name: name for name in measures})


def _draw(axis: Any, panel: _Panel) -> None:
    if not panel.rows:
        axis.set_axis_off()
        return
    for name, label in panel.lines.items():
        known = [row for row in panel.rows if name in row]
        marker = "." if len(known) < 20 else ""
        axis.plot([row["step"] for row in known], [row[name] for row in known], marker=marker, lw=1, label=label)
    positive = any(row.get(name, 0.0) > 0 for row in panel.rows for name in panel.lines)
    axis.set(title=panel.title, xlabel="step", yscale=panel.scale if positive else "linear")
    axis.legend()
