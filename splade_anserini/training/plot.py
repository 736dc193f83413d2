"""The course of a training run as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from splade_anserini.errors import DependencyError

_SIDES = {"q": "queries", "d": "documents"}
_TOLD = {"step", "learning rate", "loss", "gradient", "FLOPS"}


def plot(log: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Draw the parts of the loss, active entries, FLOPS, empty vectors and validation by step, as PNG."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError.missing("matplotlib", "train") from error
    steps = [row for row in log if "loss" in row]
    measured = [row for row in log if "loss" not in row]
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 3).flat
    parts = [name for name in (steps[0] if steps else {}) if name not in _TOLD and name.split()[0] not in _GROUPS]
    _draw(next(axes), "parts of the loss", steps, {name: name for name in ("loss", *parts)})
    _draw(next(axes), "active entries", steps, {f"active {side}": name for side, name in _SIDES.items()}, log=True)
    _draw(next(axes), "FLOPS, Σ p_q p_d", steps, {"FLOPS": "in a batch"}, log=True)
    _draw(next(axes), "share of empty vectors", steps, {f"empty {side}": name for side, name in _SIDES.items()})
    _draw(next(axes), "norm of the gradient", steps, {"gradient": "before clipping"}, log=True)
    names = [name for name in (measured[0] if measured else {}) if name != "step"]
    _draw(next(axes), "validation", measured, {name: name for name in names})
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


_GROUPS = {"active", "empty"}


def _draw(
    axis: Any, title: str, rows: Sequence[Mapping[str, float]], names: Mapping[str, str], *, log: bool = False
) -> None:
    for name, label in names.items():
        known = [row for row in rows if name in row]
        axis.plot([row["step"] for row in known], [row[name] for row in known], label=label, linewidth=1)
    axis.set_title(title)
    axis.set_xlabel("step")
    if log and rows:
        axis.set_yscale("log")
    if names:
        axis.legend()
