"""Numbers in text: the digits 0 to 9, as trec_eval and other programs read them, and nothing else.

Python's `int` and `float` also take `1_0`, `١٢`, ` 12 ` and `nan`.
"""

BEYOND_FLOAT32 = (2 - 2**-24) * 2.0**127
"""Numbers from here on are infinite as 32-bit floats, as which trec_eval reads scores."""

_INTEGER, _NUMBER = "0123456789+-", "0123456789+-.eE"
"""The characters of numbers; of texts of these, `int` and `float` take decimal numbers only."""
_INTEGER_BYTES, _NUMBER_BYTES = _INTEGER.encode(), _NUMBER.encode()
_MOST_DIGITS = 15
"""Integers of up to 15 digits are exact in float64."""


def parse_integer(text: str | bytes) -> int | None:
    """Return an integer of at most 15 digits, perhaps with a sign; None for any other text."""
    others = text.strip(_INTEGER) if isinstance(text, str) else text.strip(_INTEGER_BYTES)
    if others or len(text) > _MOST_DIGITS + 1:
        return None
    try:
        return int(text)
    except ValueError:
        return None


def parse_number(text: str | bytes) -> float | None:
    """Return a decimal number, with an exponent or without, that is finite as a 32-bit float; None for other texts."""
    # strip removes all characters of a number, and runs have millions of them.
    if text.strip(_NUMBER) if isinstance(text, str) else text.strip(_NUMBER_BYTES):
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if -BEYOND_FLOAT32 < number < BEYOND_FLOAT32 else None


def number_of(value: object) -> float | None:
    """Return a value of JSON as a number that is finite as a 32-bit float; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if -BEYOND_FLOAT32 < number < BEYOND_FLOAT32 else None


def whole_number(value: float | None) -> int | None:
    """Return a number without a fraction, such as 1.0, as an integer; None for any other."""
    return int(value) if value is not None and value.is_integer() else None
