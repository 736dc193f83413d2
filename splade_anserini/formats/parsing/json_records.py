"""Records of JSON files, one at a time: one object a line in .jsonl; anything that is valid JSON in .json."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from splade_anserini.formats.parsing.json_stream import json_values
from splade_anserini.formats.parsing.lines import Place, byte_lines, decoded

type Record = dict[str, Any]


def json_records(path: Path) -> Iterator[tuple[Place, Record]]:
    """Yield each record with its place. Raises `RecordError` where one is not a JSON object.

    A `.json` file may also hold one array of objects, or objects over many lines; their places are the lines they
    begin at.
    """
    lines = json_values(path) if path.name.endswith((".json", ".json.gz")) else byte_lines(path)
    for place, line in lines:
        yield place, json_record(line, place)


def json_record(line: bytes, place: Place) -> Record:
    """Return the JSON object in a line. Raises `RecordError` when it holds none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        decoded(line, place)
        raise place.error(
            f"not JSON ({error.msg}, column {error.colno})", expected="one JSON object", do="Correct the line."
        ) from error
    if not isinstance(record, dict):
        raise place.error(f"{kind(record)}, not an object", expected='one JSON object, {"id": …}')
    return record


def kind(value: object) -> str:
    """Return what JSON calls the type of a value, with its article; numbers as they are."""
    if isinstance(value, bool | int | float | None):
        return orjson.dumps(value).decode()
    names: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), f"a Python {type(value).__name__}")
