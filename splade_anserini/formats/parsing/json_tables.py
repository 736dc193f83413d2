"""Runs and judgements as JSON: an object of objects, or records with a query and a document each."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Never

from splade_anserini.formats.parsing.archives import is_file
from splade_anserini.formats.parsing.columns import DOCUMENT, QUERY, RANK, SCORE, is_named, named
from splade_anserini.formats.parsing.compression import DAMAGED_DATA, beginning, open_input
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.json_records import json_type
from splade_anserini.formats.parsing.lines import Location, damaged_data_error

_NOT_SPACE = re.compile(r"[^ \t\r\n]")
_EXPECTED = (
    '{"query id": {"document id": number, …}, …}, {"query id": ["document id", …], …}, '
    'or records {"query_id": …, "doc_id": …, "score": …}'
)


class Cell(NamedTuple):
    """A document of a query, with the score or grade, and the rank, that the file gives it, or None."""

    location: Location
    query_id: str
    doc_id: str
    score: object
    rank: object
    is_plain: bool = False
    """Whether it has no place for a score: an id in a list, or a record of ids alone."""


def is_json(path: Path) -> bool:
    """Return whether a file begins as an object or an array of JSON does; of a pipe, that is not known.

    An id may begin with a bracket, too: `[1] Q0 d1 1 2.5 run`, `{"a":1} 0 d1 1`.
    """
    if not is_file(path):
        return False
    first = beginning(path, 1 << 12).removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    columns = first.split()
    if len(columns) >= 4 and columns[1] in (b"Q0", b"q0", b"0"):
        return False
    return first[:1] in (b"{", b"[") and (b'"' in first or not first.strip(b"{[]} \t\r"))


def json_cells(path: Path, *, of_run: bool = False) -> Iterator[Cell]:
    """Yield what a JSON file says about each query and document. The whole file is in memory.

    Raises `RecordError` for invalid JSON, a duplicate key, and any other form than those of `_EXPECTED`.
    """
    for location, value in _values(path):
        if isinstance(value, list):
            for index, record in enumerate(value, 1):
                yield from _cells(record, Location(path, index, "record"), of_run=of_run)
        else:
            yield from _cells(value, location, of_run=of_run)


def _cells(value: object, location: Location, *, of_run: bool) -> Iterator[Cell]:
    if not isinstance(value, dict):
        raise location.error(json_type(value), expected=_EXPECTED)
    columns = named(value, of_run=of_run)
    if {QUERY, DOCUMENT} <= columns.keys() and not isinstance(columns[DOCUMENT], dict | list):
        query_id, doc_id = (_id(columns[name], location) for name in (QUERY, DOCUMENT))
        is_plain = SCORE not in columns and all(map(is_named, value))
        yield Cell(location, query_id, doc_id, columns.get(SCORE), columns.get(RANK), is_plain)
        return
    for query_id, docs in value.items():
        checked_id(query_id, location)
        if isinstance(docs, dict):
            yield from (Cell(location, query_id, checked_id(id_, location), score, None) for id_, score in docs.items())
        elif isinstance(docs, list):
            yield from _ranked(query_id, docs, location)
        else:
            raise location.error(f"the value of {query_id!r} is {json_type(docs)}", expected=_EXPECTED)


def _ranked(query_id: str, docs: list[object], location: Location) -> Iterator[Cell]:
    """Yield the cells of a list of ids, best first, or of pairs of id and score."""
    for rank, doc in enumerate(docs, 1):
        match doc:
            case [str() | int() as doc_id, score]:
                yield Cell(location, query_id, _id(doc_id, location), score, None)
            case str() | int():
                yield Cell(location, query_id, _id(doc, location), None, rank, is_plain=True)
            case _:
                raise location.error(f"item {rank} of {query_id!r} is {json_type(doc)}", expected=_EXPECTED)


def _id(value: object, location: Location) -> str:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise location.error(f"an id is {json_type(value)}", expected="a string")
    return checked_id(value, location)


def _values(path: Path) -> Iterator[tuple[Location, Any]]:
    """Yield the values of a file that holds one JSON document or a sequence of them."""
    with open_input(path) as file:
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Location(path, 1).error("not valid UTF-8", expected="text in UTF-8") from error
        except DAMAGED_DATA as error:
            raise damaged_data_error(Location(path, 1), error) from error
    position, line = 0, 1
    while True:
        start, position = position, _end_of_spaces(text, position)
        line += text.count("\n", start, position)
        if position == len(text):
            return
        location = Location(path, line)
        try:
            value, end = _decoder(location).raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise location.error(
                f"not valid JSON ({error.msg}, line {error.lineno}, column {error.colno})", expected=_EXPECTED
            ) from error
        except RecursionError as error:
            raise location.error("nested too deeply", expected=_EXPECTED) from error
        line += text.count("\n", position, end)
        position = end
        yield location, value


def _end_of_spaces(text: str, position: int) -> int:
    match = _NOT_SPACE.search(text, position)
    return match.start() if match else len(text)


def _decoder(location: Location) -> json.JSONDecoder:
    def unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
        keys = dict(pairs)
        if len(keys) < len(pairs):
            names = [name for name, _ in pairs]
            duplicate = next(name for name in names if names.count(name) > 1)
            raise location.error(f"the key {duplicate!r} occurs twice in an object", expected="each key once")
        return keys

    def refuse(constant: str) -> Never:
        raise location.error(f"a number is {constant}", expected="finite numbers")

    # An integer of more than 4,300 digits is an error in Python; no number here is that long.
    def integer(digits: str) -> int | float:
        return int(digits) if len(digits) < 20 else float(digits)

    return json.JSONDecoder(object_pairs_hook=unique, parse_constant=refuse, parse_int=integer)
