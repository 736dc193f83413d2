"""Scales as users write them, and the option --scale. Importing this module loads nothing heavy."""

import math
from fractions import Fraction
from typing import Any

from splade_anserini.errors import InputError
from splade_anserini.options import option


def parse_scale(text: str) -> float:
    """Parse a scale such as "100", "51.2" or "256/5". Raises `InputError` unless it is a number above 0."""
    try:
        scale = float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"--scale must be a number such as 100 or 256/5, got {text!r}.") from error
    if scale <= 0:
        raise InputError(f"--scale must be above 0, got {text}.")
    return scale


def scale_option(*, help: str, unset: str, **info: Any) -> Any:  # noqa: A002  # as in `option`
    """Declare the option --scale, which is None unless the user sets it; `info` is that of `option`."""
    return option(
        default=None, above=0, below=math.inf, parser=parse_scale, metavar="<float>", help=help, unset=unset, **info
    )
