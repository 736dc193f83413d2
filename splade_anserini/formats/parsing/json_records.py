"""Records of JSON files, read one at a time: one object per line in .jsonl, any JSON document in .json."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from splade_anserini.errors import RecordError
from splade_anserini.formats.parsing.compression import without_compression_suffix
from splade_anserini.formats.parsing.json_stream import json_values
from splade_anserini.formats.parsing.lines import Location, byte_lines, decode_utf8
from splade_anserini.formats.parsing.unique_keys import check_unique_keys, check_unique_keys_of

type Record = dict[str, Any]

_BATCH = 1 << 16
"""Bytes of the lines that are checked for duplicate keys together, about."""


def json_records(path: Path) -> Iterator[tuple[Location, Record]]:
    """Yield each record with its location. Raises `RecordError` where `json_record` does.

    A `.json` file may also hold one array of objects, or objects that extend over several lines; the location is
    then the line where the object begins.
    """
    lines = json_lines(path)
    for batch in _batches(lines):
        records = [json_record(line, location, unique_keys=False) for location, line in batch]
        check_unique_keys(batch, records)
        yield from zip((location for location, _ in batch), records, strict=True)


def json_lines(path: Path) -> Iterator[tuple[Location, bytes]]:
    """Yield the text of each record that `json_records` yields, not parsed yet."""
    return json_values(path) if without_compression_suffix(path.name).endswith(".json") else byte_lines(path)


def tolerant_record(line: bytes, location: Location, on_repair: Callable[[Location], None]) -> Record:
    """Return the JSON object in a line, also one with NaN, Infinity or halves of surrogate pairs in it.

    Such halves become U+FFFD, of which `on_repair` is told. Raises `RecordError` as `json_record` does.
    """
    try:
        record = json_record(line, location, unique_keys=False)
    except RecordError:
        try:
            # orjson accepts what RFC 8259 does; Python writes and reads more.
            lenient = json.loads(line)
        except (ValueError, RecursionError):
            lenient = None
        if not isinstance(lenient, dict):
            raise
        record = _without_surrogates(lenient)
        # NaN differs from itself.
        if repr(record) != repr(lenient):
            on_repair(location)
    check_unique_keys_of(record, line, location)
    return record


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        # Two halves that belong together become one character.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def json_record(line: bytes, location: Location, *, unique_keys: bool = True) -> Record:
    """Return the JSON object in a line. Raises `RecordError` when the line is not a JSON object.

    With `unique_keys`, also when a key of the object, or of an object that is one of its values, occurs twice.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        decode_utf8(line, location)
        raise location.error(
            f"not valid JSON ({error.msg}, column {error.colno})", expected="one JSON object", do="Correct the line."
        ) from error
    if not isinstance(record, dict):
        raise location.error(f"{json_type(record)}, not an object", expected='one JSON object, {"id": …}')
    if unique_keys:
        check_unique_keys_of(record, line, location)
    return record


def _batches(lines: Iterator[tuple[Location, bytes]]) -> Iterator[list[tuple[Location, bytes]]]:
    batch: list[tuple[Location, bytes]] = []
    size = 0
    for located in lines:
        batch.append(located)
        size += len(located[1])
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def json_type(value: object) -> str:
    """Return the JSON type of a value with its article, for messages; numbers, true, false and null as they are."""
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, bool | int | float | None):
        return orjson.dumps(value).decode()
    names: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), f"a Python {type(value).__name__}")
