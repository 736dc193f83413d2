"""Varints of Protocol Buffers (base 128, the lowest seven bits first), encoded and decoded with NumPy."""

from typing import IO

import numpy as np
import numpy.typing as npt

type Integers = npt.NDArray[np.uint64]

LONGEST = 10
"""Bytes of the longest varint, a 64-bit integer."""


def encode_varints(integers: npt.ArrayLike) -> bytes:
    """Return the concatenated varints of non-negative integers."""
    values = np.asarray(integers, dtype=np.uint64)
    lengths = np.ones(len(values), dtype=np.int64)
    for position in range(1, LONGEST):
        lengths += values >= np.uint64(1 << 7 * position)
    ends = np.cumsum(lengths)
    encoded = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    for position in range(int(lengths.max(initial=0))):
        longer = lengths > position
        digits = (values[longer] >> np.uint64(7 * position)) & np.uint64(0x7F)
        continuation = np.where(lengths[longer] > position + 1, np.uint64(0x80), np.uint64(0))
        encoded[(ends - lengths)[longer] + position] = digits | continuation
    return encoded.tobytes()


def decode_varints(encoded: bytes) -> Integers:
    """Return the integers in `encoded`. Raises `ValueError` when the last one is incomplete, or one is too long."""
    digits = np.frombuffer(encoded, dtype=np.uint8)
    ends = np.flatnonzero(digits < 0x80) + 1
    if len(digits) and (not len(ends) or ends[-1] != len(digits)):
        raise ValueError("the data end within an integer")
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    lengths = ends - starts
    if lengths.max(initial=0) > LONGEST:
        raise ValueError("an integer has more than 64 bits")
    values = np.zeros(len(ends), dtype=np.uint64)
    for position in range(int(lengths.max(initial=0))):
        longer = lengths > position
        septets = digits[starts[longer] + position].astype(np.uint64) & np.uint64(0x7F)
        values[longer] |= septets << np.uint64(7 * position)
    return values


def varint(integer: int) -> bytes:
    """Return the varint of one integer; a negative one is encoded as its 64-bit two's complement."""
    integer &= (1 << 64) - 1
    encoded = bytearray()
    while integer > 0x7F:
        encoded.append(integer & 0x7F | 0x80)
        integer >>= 7
    encoded.append(integer)
    return bytes(encoded)


def varint_at(encoded: bytes, start: int) -> tuple[int, int]:
    """Return the integer that starts at `start`, and the position after it. Raises `ValueError` when incomplete."""
    integer = 0
    for position, digit in enumerate(encoded[start : start + LONGEST]):
        integer |= (digit & 0x7F) << (7 * position)
        if digit < 0x80:
            return integer & ((1 << 64) - 1), start + position + 1
    raise ValueError("the data end within an integer")


def read_varint(file: IO[bytes]) -> int:
    """Return the next integer of a file. Raises `ValueError` when it is incomplete."""
    encoded = b""
    while not encoded or (encoded[-1] >= 0x80 and len(encoded) < LONGEST):
        digit = file.read(1)
        if not digit:
            raise ValueError("the data end within an integer" if encoded else "the data end")
        encoded += digit
    return varint_at(encoded, 0)[0]
