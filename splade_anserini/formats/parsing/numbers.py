"""Numbers in text: the digits 0 to 9, as trec_eval and other programs read them, and nothing else.

Python's `int` and `float` also take `1_0`, `١٢`, ` 12 ` and `nan`.
"""

import re

BEYOND_FLOAT32 = (2 - 2**-24) * 2.0**127
"""Numbers from here on are infinite as 32-bit floats, as which trec_eval reads scores."""

_INTEGER, _NUMBER = r"[+-]?[0-9]{1,15}", r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_IS_INTEGER, _IS_NUMBER = re.compile(_INTEGER).fullmatch, re.compile(_NUMBER).fullmatch
_IS_INTEGER_IN_BYTES, _IS_NUMBER_IN_BYTES = (
    re.compile(_INTEGER.encode()).fullmatch,
    re.compile(_NUMBER.encode()).fullmatch,
)


def parse_integer(text: str | bytes) -> int | None:
    """Return an integer of at most 15 digits, which is exact as a float; None for any other text."""
    is_integer = _IS_INTEGER(text) if isinstance(text, str) else _IS_INTEGER_IN_BYTES(text)
    return int(text) if is_integer else None


def parse_number(text: str | bytes) -> float | None:
    """Return a decimal number, with an exponent or without, that is finite as a 32-bit float; None for other texts."""
    if not (_IS_NUMBER(text) if isinstance(text, str) else _IS_NUMBER_IN_BYTES(text)):
        return None
    number = float(text)
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
