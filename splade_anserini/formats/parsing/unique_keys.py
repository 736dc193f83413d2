"""Duplicate keys in JSON objects, of which a parser keeps the last in silence."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from splade_anserini.formats.parsing.lines import Location

_SPACE_BEFORE_COLON = re.compile(rb'"\s+:')


def check_unique_keys(lines: Sequence[tuple[Location, bytes]], records: Sequence[Mapping[str, Any]]) -> None:
    """Raise `RecordError` when a key of one of the records, or of an object that is one of its values, occurs twice.

    `records` are the parsed lines. A text has a colon for each key, those that the parser dropped included: if there
    are as many colons as keys, nothing was dropped. That is so for most vectors; counted for many lines at once, it
    takes less than a twentieth of the time of parsing them.
    """
    text = np.frombuffer(b"".join([line for _, line in lines]), dtype=np.uint8)
    if np.count_nonzero(text == ord(":")) == sum(map(_shallow_keys, records)):
        return
    for (location, line), record in zip(lines, records, strict=True):
        check_unique_keys_of(record, line, location)


def check_unique_keys_of(record: Mapping[str, Any], line: bytes, location: Location) -> None:
    """Do the same for one record."""
    if line.count(b":") == _shallow_keys(record):
        return
    # Colons in texts do not count here, but a colon after white space would not, either.
    if line.count(b'":') == _count_keys(record) and not _SPACE_BEFORE_COLON.search(line):
        return
    _refuse_duplicate_keys(line, location)


def _shallow_keys(record: Mapping[str, Any]) -> int:
    """Return the number of keys of a record and of the objects that are its values."""
    keys = len(record)
    for value in record.values():
        if type(value) is dict:
            keys += len(value)
    return keys


def _count_keys(value: object) -> int:
    if isinstance(value, dict):
        nested = sum(_count_keys(item) for item in value.values() if isinstance(item, dict | list))
        return len(value) + nested
    return sum(map(_count_keys, value)) if isinstance(value, list) else 0


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, in which a key may occur more than once."""


# The values of numbers do not matter, and Python's `int` refuses more than 4,300 digits.
_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=len, parse_float=len, strict=False)


def _refuse_duplicate_keys(line: bytes, location: Location) -> None:
    pairs = _DECODER.decode(line.decode(errors="surrogatepass"))
    for members in (pairs, *(value for _, value in pairs if isinstance(value, _Pairs))):
        key, count = Counter(name for name, _ in members).most_common(1)[0] if members else ("", 0)
        if count > 1:
            raise location.error(
                f"the key {key!r} occurs {'twice' if count == 2 else f'{count} times'} in one object",
                expected="each key once",
                do="Remove all but one: which one holds is not known.",
            )
