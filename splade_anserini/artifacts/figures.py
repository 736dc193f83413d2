"""Figures written as PNG, SVG or PDF; the same figure gives the same bytes."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from splade_anserini.artifacts.files import whole_file
from splade_anserini.errors import DependencyError, InputError
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNDATED: dict[str, dict[str, None] | None] = {".png": None, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""Suffix of a format → metadata that keep the time of writing out of the file."""


def require_matplotlib() -> None:
    """Raise `DependencyError` when matplotlib is not installed. Call it before long work."""
    try:
        import matplotlib.figure  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise DependencyError.missing("matplotlib", "plot") from error


def require_figure_format(path: StrPath) -> None:
    """Raise `InputError` when the suffix is not that of a supported format, and the error of `require_matplotlib`."""
    suffix = Path(path).suffix
    if suffix not in _UNDATED:
        *others, last = _UNDATED
        raise InputError(
            f"Cannot infer the format of the figure {path} from its suffix {suffix!r}.",
            expected=f"{', '.join(others)} or {last}",
        )
    require_matplotlib()


def save_figure(figure: "Figure", path: StrPath) -> None:
    """Write a figure in the format of the path's suffix.

    Raises the errors of `require_figure_format`, and `OutputError` when the file cannot be written.
    """
    require_figure_format(path)
    from matplotlib import rc_context

    path = Path(path)

    # Without a salt, the ids in an SVG are random.
    with whole_file(path) as file, rc_context({"svg.hashsalt": "splade-anserini"}), warnings.catch_warnings():
        # matplotlib warns of characters that the font lacks, and draws boxes.
        warnings.simplefilter("ignore")
        figure.savefig(file, format=path.suffix[1:], dpi=110, metadata=_UNDATED[path.suffix])


def plain_label(text: str) -> str:
    """Return a text that matplotlib shows literally: `$` starts no formula, and a leading `_` hides no legend entry."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def plain_number(number: float) -> str:
    """Return a number for the label of a tick: 26,250 and 0.05 instead of 2.625×10⁴ and 5×10⁻²; below 0.001 as 2e-5."""
    if 0 < abs(number) < 0.001:
        digits, exponent = f"{number:.8e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"
    return f"{number:,.9g}"


def use_log_scale(axis: Any, direction: Literal["x", "y"] = "x") -> None:
    """Make an axis logarithmic, labelled with numbers such as 0.5, 1 and 2 instead of powers of ten.

    Call it after the curves are drawn: over more than three decades only 0.1, 1, 10 and so on are labelled.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set(**{f"{direction}scale": "log"})
    ticks = axis.xaxis if direction == "x" else axis.yaxis
    low, high = ticks.get_view_interval()
    ticks.set_major_locator(LogLocator(subs=(1.0,) if high > 1000 * low else (1.0, 2.0, 5.0)))
    ticks.set_major_formatter(FuncFormatter(lambda number, _: plain_number(number)))
    ticks.set_minor_formatter(NullFormatter())
