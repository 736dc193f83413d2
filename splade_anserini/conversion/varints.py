"""Protocol Buffers' numbers of variable length (base 128, the lowest seven bits first), many at a time."""

from typing import IO

import numpy as np
import numpy.typing as npt

type Numbers = npt.NDArray[np.uint64]

LONGEST = 10
"""Bytes of a number of 64 bits."""


def encode_varints(numbers: npt.ArrayLike) -> bytes:
    """Return the numbers, of which none is negative, behind each other."""
    values = np.asarray(numbers, dtype=np.uint64)
    lengths = np.ones(len(values), dtype=np.int64)
    for place in range(1, LONGEST):
        lengths += values >= np.uint64(1 << 7 * place)
    ends = np.cumsum(lengths)
    encoded = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    for place in range(int(lengths.max(initial=0))):
        there = lengths > place
        digits = (values[there] >> np.uint64(7 * place)) & np.uint64(0x7F)
        more = np.where(lengths[there] > place + 1, np.uint64(0x80), np.uint64(0))
        encoded[(ends - lengths)[there] + place] = digits | more
    return encoded.tobytes()


def decode_varints(encoded: bytes) -> Numbers:
    """Return the numbers in `encoded`. Raises `ValueError` when it ends within one, or one is too long."""
    digits = np.frombuffer(encoded, dtype=np.uint8)
    ends = np.flatnonzero(digits < 0x80) + 1
    if len(digits) and (not len(ends) or ends[-1] != len(digits)):
        raise ValueError("the data end within a number")
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    lengths = ends - starts
    if lengths.max(initial=0) > LONGEST:
        raise ValueError("a number is longer than 64 bits")
    values = np.zeros(len(ends), dtype=np.uint64)
    for place in range(int(lengths.max(initial=0))):
        there = lengths > place
        values[there] |= (digits[starts[there] + place].astype(np.uint64) & np.uint64(0x7F)) << np.uint64(7 * place)
    return values


def varint(number: int) -> bytes:
    """Return one number; a negative one as its 64 bits."""
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def varint_at(encoded: bytes, position: int) -> tuple[int, int]:
    """Return the number that begins at `position`, and where it ends. Raises `ValueError` when it does not end."""
    number = 0
    for place, digit in enumerate(encoded[position : position + LONGEST]):
        number |= (digit & 0x7F) << (7 * place)
        if digit < 0x80:
            return number & ((1 << 64) - 1), position + place + 1
    raise ValueError("the data end within a number")


def read_varint(file: IO[bytes]) -> int:
    """Return the number that stands next in a file. Raises `ValueError` when it does not end."""
    encoded = b""
    while not encoded or (encoded[-1] >= 0x80 and len(encoded) < LONGEST):
        digit = file.read(1)
        if not digit:
            raise ValueError("the data end within a number" if encoded else "the data end")
        encoded += digit
    return varint_at(encoded, 0)[0]
