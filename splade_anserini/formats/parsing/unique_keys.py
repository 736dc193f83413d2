"""Duplicate keys in JSON objects, of which a parser keeps the last in silence."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from splade_anserini.formats.parsing.lines import Location

_SPACE_BEFORE_COLON = re.compile(rb'"\s+:')


def check_unique_keys(lines: Sequence[tuple[Location, bytes]], records: Sequence[Mapping[str, Any]]) -> None:
    """Raise `RecordError` when a key occurs twice in one of the records, or in an object in it.

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
    if has_unique_keys(record, line):
        return
    if duplicate := duplicate_key(line.decode(errors="surrogatepass")):
        key, count = duplicate
        raise location.error(
            f"the key {key!r} occurs {'twice' if count == 2 else f'{count} times'} in an object",
            expected="each key once",
            do="Remove all but one: which one holds is not known.",
        )


def has_unique_keys(record: Mapping[str, Any], text: bytes) -> bool:
    """Return whether certainly no key occurs twice in an object, in the text of which `record` was parsed."""
    if text.count(b":") == _shallow_keys(record):
        return True
    # Colons in texts do not count here, but a colon after white space would not, either.
    return text.count(b'":') == _count_keys(record) and not _SPACE_BEFORE_COLON.search(text)


def duplicate_key(text: str) -> tuple[str, int] | None:
    """Return a key that occurs more than once in an object, with the number of times, or None."""
    for members in _objects(_DECODER.decode(text)):
        if members:
            key, count = Counter(name for name, _ in members).most_common(1)[0]
            if count > 1:
                return key, count
    return None


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


def _objects(value: object) -> Iterator[_Pairs]:
    """Yield all objects in a value."""
    if isinstance(value, _Pairs):
        yield value
        for _, item in value:
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)
