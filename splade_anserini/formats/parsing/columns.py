"""Rows of text tables: columns separated by white space, commas or semicolons, and headers that name them."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from splade_anserini.formats.parsing.lines import Location, byte_lines, decode_utf8, split_columns
from splade_anserini.formats.parsing.numbers import parse_number

type Row = tuple[Location, list[bytes]]

QUERY, ITERATION, DOCUMENT, RANK, SCORE, TAG = "query", "iteration", "document", "rank", "score", "tag"

_NAMES = {
    QUERY: "qid queryid queryno qno topicid topicno q topic query",
    ITERATION: "iter iteration subtopic q0 0",
    DOCUMENT: "docno documentno docid documentid corpusid pid passageid did d doc document passage",
    RANK: "rank position",
    SCORE: "relevance rel relevancescore relscore grade label judgment judgement score scores sim similarity",
    TAG: "tag runtag runid runname run system",
}
"""The names of each column as `column_key` returns them; where a table has several, the first one counts."""
_COLUMN_OF = {name: column for column, names in _NAMES.items() for name in names.split()}
_PRECEDENCE = {name: order for order, name in enumerate(_COLUMN_OF)}
_GRADES = {"relevance", "rel", "grade", "label", "judgment", "judgement"}
"""Names of scores that a run has after others: those of judgements that were joined to it."""


def rows(path: Path) -> Iterator[Row]:
    """Yield the columns of each line that is not blank; the first line decides what separates them."""
    split: Callable[[bytes, Location], list[bytes]] | None = None
    for location, line in byte_lines(path):
        split = split or _splitter(line)
        yield location, split(line, location)


def header(columns: list[bytes], *, of_run: bool = False) -> dict[str, int] | None:
    """Return the index of each column that a header names, or None if these columns are not a header.

    Of several columns of scores the first in `_NAMES` counts; `of_run`, those of grades come last.
    """
    texts = [column.decode("utf-8", "replace") for column in columns]
    if not all(column_key(text) in _COLUMN_OF for text in texts):
        return None
    names = named({text: index for index, text in enumerate(texts)}, of_run=of_run)
    if "0" in texts and not {SCORE, RANK} & names.keys():
        # A line such as `q 0 d 0`.
        return None
    return names if {QUERY, DOCUMENT} <= names.keys() else None


def named[T](values: Mapping[str, T], *, of_run: bool = False) -> dict[str, T]:
    """Return the values under names of columns by the columns; values under other names are left out."""
    keys = {column_key(name): value for name, value in values.items()}

    def precedence(key: str) -> tuple[bool, int]:
        return of_run and key in _GRADES, _PRECEDENCE[key]

    known = sorted(keys.keys() & _COLUMN_OF.keys(), key=precedence, reverse=True)
    return {_COLUMN_OF[key]: keys[key] for key in known}


def is_named(name: str) -> bool:
    """Return whether a name is one of those of a column."""
    return column_key(name) in _COLUMN_OF


def names_of_scores(names: Iterable[str]) -> list[str]:
    """Return those of the names that columns of scores or grades have."""
    return [name for name in names if _COLUMN_OF.get(column_key(name)) == SCORE]


def column_key(name: str) -> str:
    """Return a column's name without case, separators and quotes: `query-id`, `Query_ID` and `queryId` are one."""
    return re.sub(r"[\s_\-.\"'#]", "", name).casefold()


def _splitter(line: bytes) -> Callable[[bytes, Location], list[bytes]]:
    """Return the function that splits the lines of a file with this first line."""
    if header(line.split(b"\t")):
        # Names of columns may have spaces.
        return _split_tabs
    words = line.split()
    if _is_three_by_tabs(line, words):
        return _split_three
    for delimiter in (b",", b";"):
        # `q1 0 d,1 1` has a comma in an id; `qid, docid, rel` has one after each column but the last.
        is_csv = delimiter in line and b"\t" not in line and all(word.endswith(delimiter) for word in words[:-1])
        if is_csv or header(line.split(delimiter)):
            return partial(_split_csv, delimiter=delimiter.decode())
    return _split_white_space


def _split_tabs(line: bytes, location: Location) -> list[bytes]:
    _check_numbers(line, location)
    return split_columns(line, location, b"\t")


def _is_three_by_tabs(line: bytes, words: list[bytes]) -> bool:
    """Return whether a line is `qid<TAB>docid<TAB>number`, where the id of the document may contain spaces."""
    columns = line.split(b"\t")
    return (
        len(columns) == 3
        and b" " not in columns[0]
        and parse_number(columns[2]) is not None
        and words[1] not in (b"0", b"Q0")
    )


def _split_three(line: bytes, location: Location) -> list[bytes]:
    columns = _split_white_space(line, location)
    by_tabs = line.split(b"\t")
    return by_tabs if len(columns) != 3 and len(by_tabs) == 3 else columns


def _split_white_space(line: bytes, location: Location) -> list[bytes]:
    _check_numbers(line, location)
    return split_columns(line, location)


def _check_numbers(line: bytes, location: Location) -> None:
    """Raise `RecordError` for a number in a tab-separated line that has spaces around it."""
    if b"\t" in line and b" " in line:
        for column in line.split(b"\t"):
            if column != column.strip(b" ") and parse_number(column.strip(b" ")) is not None:
                raise location.error(
                    f"the number {column.decode()!r} has spaces around it", expected="a number and nothing else"
                )


def _split_csv(line: bytes, location: Location, delimiter: str) -> list[bytes]:
    try:
        (columns,) = csv.reader([decode_utf8(line, location)], delimiter=delimiter, skipinitialspace=True, strict=True)
    except csv.Error as error:
        raise location.error(f"not valid CSV ({error})", expected="quotation marks in pairs") from error
    return [column.encode() for column in columns]
