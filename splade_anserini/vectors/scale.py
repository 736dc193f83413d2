"""Parse scales as users write them. Importing this module loads nothing heavy."""

from fractions import Fraction

from splade_anserini.errors import InputError


def parse_scale(text: str) -> float:
    """Parse a scale such as "100", "51.2" or "256/5". Raises `InputError` unless it is a number above 0."""
    try:
        scale = float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"--scale must be a number such as 100 or 256/5, got {text!r}.") from error
    if scale <= 0:
        raise InputError(f"--scale must be above 0, got {text}.")
    return scale
