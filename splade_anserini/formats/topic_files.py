"""Files of topics in the forms that people have, told apart by their content: JSON, markup, Parquet, tables, lines."""

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path

from splade_anserini.errors import RecordError, counted
from splade_anserini.formats.parsing.archives import is_file
from splade_anserini.formats.parsing.arrow import arrow_rows, is_arrow, present
from splade_anserini.formats.parsing.columns import column_key
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Location, byte_lines, decode_utf8, refuse_carriage_return
from splade_anserini.formats.topic_fields import (
    DESCRIPTION_NAMES,
    ID_NAMES,
    NARRATIVE_NAMES,
    TEXT_NAMES,
    VECTOR_NAMES,
    TopicRecord,
)
from splade_anserini.formats.topic_json import json_topics, record_topic
from splade_anserini.formats.topic_markup import markup_topics

type Note = Callable[[str], None]
type Line = tuple[Location, str]

_EXPECTED = "qid<TAB>text"
_DELIMITERS = "\t,;"
_TEXT_COLUMNS = {*TEXT_NAMES, *DESCRIPTION_NAMES, *NARRATIVE_NAMES, *VECTOR_NAMES}
_CERTAIN_ID_COLUMNS = {*ID_NAMES} - {"topic", "number", "num"}
"""Names of ids that are not themselves ids: a first line with one of them is a header."""

_DECLARATION = re.compile(rb"<\?xml[^>]*\sencoding=[\"']([\w.-]+)[\"']")
_COMMA = re.compile(r'([^\s,;:"]+)([,;])')
_COLON = re.compile(r"([^\s:]*\d[^\s:]*):(?:\d:)?\s*(.*)")
"""`wt09-1:obama family tree`, and with a priority `20001:1:obama family tree` (TREC Million Query)."""
_SPACE = re.compile(r"(\S*\d\S*)(?: +(.*))?")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def file_topics(path: Path, note: Note) -> Iterator[TopicRecord]:
    """Yield the topics of a file; `note` gets a clause where the form of the file leaves a choice.

    Raises `RecordError` for a malformed topic, `InputError` when the file cannot be read.
    """
    if is_arrow(path):
        for location, row in arrow_rows(path, lambda _: True):
            yield record_topic({name: present(value) for name, value in row.items()}, location)
        return
    # A pipe cannot be read twice.
    lines = partial(byte_lines, path) if is_file(path) else list(byte_lines(path)).__iter__
    first = next(lines(), None)
    if first is None:
        return
    if _begins_json(first[1]):
        yield from json_topics(path, lines)
    elif _begins_markup(first[1]):
        yield from markup_topics(list(_decoded(lines(), _declared_encoding(first[1]))))
    else:
        yield from _text_topics(lambda: map(_without_carriage_return, _decoded(lines())), note)


def _begins_json(line: bytes) -> bool:
    column, tab, _ = line.lstrip().partition(b"\t")
    # Ids may begin with these characters, too.
    return column.startswith((b"{", b"[")) and (b'"' in column or not tab)


def _begins_markup(line: bytes) -> bool:
    column, tab, _ = line.lstrip().partition(b"\t")
    return column.startswith(b"<") and (b">" in column or not tab)


def _declared_encoding(line: bytes) -> str:
    """Return the encoding that an XML declaration names, or UTF-8."""
    match = _DECLARATION.match(line)
    try:
        return codecs.lookup(match[1].decode()).name if match else "utf-8"
    except LookupError:
        return "utf-8"


def _decoded(lines: Iterable[tuple[Location, bytes]], encoding: str = "utf-8") -> Iterator[Line]:
    for location, line in lines:
        try:
            yield location, decode_utf8(line, location) if encoding == "utf-8" else line.decode(encoding)
        except UnicodeDecodeError as error:
            raise location.error(f"not valid {encoding}", expected="the encoding that the file declares") from error


def _without_carriage_return(numbered: Line) -> Line:
    location, line = numbered
    refuse_carriage_return(line, location)
    return numbered


def _text_topics(lines: Callable[[], Iterator[Line]], note: Note) -> Iterator[TopicRecord]:
    location, first = next(lines())
    for delimiter in _DELIMITERS:
        if names := _header(first.split(delimiter), location):
            yield from _table(lines(), names, delimiter)
            return
    if "\t" in first:
        for location, line in lines():
            yield _two_columns(line, location)
        return
    yield from _lines_without_tabs(list(lines()), note)


def misreading(line: str, location: Location) -> str | None:
    """Return what a first line `qid<TAB>text` would be taken for instead of a topic, or None."""
    content = line.encode()
    if _begins_json(content):
        return "the beginning of JSON"
    if _begins_markup(content):
        return "the beginning of markup"
    try:
        is_header = any(_header(line.split(delimiter), location) for delimiter in _DELIMITERS)
    except RecordError:
        is_header = True
    return "the name of a column" if is_header else None


def _header(cells: list[str], location: Location) -> list[str] | None:
    """Return the names of columns in a first line, with "text" for a column that can only be that; else None."""
    names = [column_key(cell) for cell in cells]
    id_name = next((name for name in ID_NAMES if name in names), None)
    if len(names) < 2 or id_name is None:
        return None
    if any(name in _TEXT_COLUMNS and name != id_name for name in names):
        return names
    if id_name not in _CERTAIN_ID_COLUMNS:
        return None
    if len(names) == 2:
        # A topic such as `1<TAB>identifier` names no columns.
        return [id_name, "text"] if names[0] == id_name else None
    raise location.error(
        f"a header without a column of texts: {', '.join(cells)}",
        expected="a column text, query, title, question or description",
        do="Rename the column of the queries.",
    )


def _table(lines: Iterator[Line], names: list[str], delimiter: str) -> Iterator[TopicRecord]:
    rows = _tab_rows(lines) if delimiter == "\t" else _csv_rows(lines, delimiter)
    next(rows)
    for location, cells in rows:
        if any(cell.strip() for cell in cells[len(names) :]):
            raise location.error(
                f"{counted(len(cells), 'column')} below a header of {len(names)}", expected="a column for each name"
            )
        yield record_topic(dict(zip_longest(names, cells[: len(names)], fillvalue="")), location)


def _tab_rows(lines: Iterator[Line]) -> Iterator[tuple[Location, list[str]]]:
    for location, line in lines:
        yield location, [_unquoted(cell) for cell in line.split("\t")]


def _unquoted(cell: str) -> str:
    """Return a cell of a table without the quotation marks that programs put around it."""
    match = _QUOTED.fullmatch(cell)
    return match[1].replace('""', '"') if match else cell


def _csv_rows(lines: Iterable[Line], delimiter: str) -> Iterator[tuple[Location, list[str]]]:
    """Yield the cells of each row, which may extend over several lines, with the line where it begins."""
    last: list[Location] = []

    def source() -> Iterator[str]:
        for location, line in lines:
            last.append(location)
            yield f"{line}\n"

    reader = csv.reader(source(), delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        last.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise last[0].error(f"not valid CSV ({error})", expected="quotation marks in pairs") from error
        if cells is None:
            return
        yield last[0], cells


def _two_columns(line: str, location: Location) -> TopicRecord:
    cells = line.split("\t")
    while len(cells) > 2 and not cells[-1].strip():
        cells.pop()
    match cells:
        case [id_, text]:
            return TopicRecord(location, checked_id(id_, location), {"text": text})
        case [id_] if id_.split() == [id_]:
            return TopicRecord(location, id_, {"text": ""})
    raise location.error(
        counted(len(cells), "column"),
        expected=_EXPECTED,
        do="Separate the id from the text by one tab, or name the columns in a header.",
    )


def _lines_without_tabs(lines: list[Line], note: Note) -> Iterator[TopicRecord]:
    """Yield the topics of lines that begin with an id and a comma, a colon or a space, all in the same form."""
    commas = {match[2] if (match := _COMMA.match(line)) else "" for _, line in lines}
    if len(commas) == 1 and "" not in commas:
        delimiter = commas.pop()
        name = "comma" if delimiter == "," else "semicolon"
        note(f"each line is taken for an id and a text, separated by a {name}")
        yield from _comma_topics(lines, delimiter)
        return
    for pattern, separator in ((_COLON, "a colon"), (_SPACE, "a space")):
        matches = [pattern.fullmatch(line) for _, line in lines]
        if len({match[1] for match in matches if match}) == len(lines):
            note(f"each line is taken for an id and a text, separated by {separator}")
            for (location, _), match in zip(lines, matches, strict=True):
                if match:
                    yield TopicRecord(location, checked_id(match[1], location), {"text": match[2] or ""})
            return
    raise lines[0][0].error(
        "1 column", expected=_EXPECTED, do="Separate the id from the text by one tab, or add ids to the queries."
    )


def _comma_topics(lines: list[Line], delimiter: str) -> Iterator[TopicRecord]:
    for location, cells in _csv_rows(lines, delimiter):
        if len(cells) != 2:
            raise location.error(
                counted(len(cells), "column"),
                expected='qid,text, with texts that have a comma in quotation marks ("…")',
                do="Add the quotation marks, or name the columns in a header.",
            )
        yield TopicRecord(location, checked_id(cells[0], location), {"text": cells[1]})
