"""Figures as files: PNG or SVG by the name's ending; the same figure gives the same bytes."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.files import whole_file
from splade_anserini.errors import DependencyError, InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")


def require_matplotlib() -> None:
    """Raise `DependencyError` when nothing can be drawn: to be asked before hours of work."""
    try:
        import matplotlib.figure  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise DependencyError.missing("matplotlib", "plot") from error


def require_picture(path: Path) -> None:
    """Raise `InputError` for a suffix that names no format, and what `require_matplotlib` does."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"The picture {path} has the suffix {path.suffix!r}.", expected=" or ".join(SUFFIXES))
    require_matplotlib()


def save(figure: "Figure", path: Path) -> None:
    """Write a figure. Raises what `require_picture` does, and `OutputError` when the file cannot be written."""
    require_picture(path)
    from matplotlib import rc_context

    # Without these, an SVG holds the time, and ids that are drawn at random.
    metadata = {"Date": None} if path.suffix == ".svg" else None
    with whole_file(path) as file, rc_context({"svg.hashsalt": "splade-anserini"}), warnings.catch_warnings():
        # A sign of a label that the font lacks is drawn as a box.
        warnings.simplefilter("ignore")
        figure.savefig(file, format=path.suffix[1:], dpi=110, metadata=metadata)


def plain(text: str) -> str:
    """Return the text so that matplotlib shows it as it is: without formulas, and in a legend."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
