"""Tables of documents as text: tab-separated values with a header or without, and CSV."""

import csv
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from splade_anserini.errors import counted
from splade_anserini.formats.corpus_fields import CorpusOptions, Observer, column_name, document_of, is_header
from splade_anserini.formats.parsing.compression import DAMAGED_DATA, open_input
from splade_anserini.formats.parsing.fields import document_id
from splade_anserini.formats.parsing.lines import Location, damaged_data_error, decode_utf8, text_lines
from splade_anserini.records import Document

_LONGEST_FIELD = 1 << 26
"""Characters in a field of CSV; a quotation mark that is never closed would take the rest of the file."""
_MOST_LINES = 1000
"""Lines of one record in a tab-separated file with quotation marks."""
_DELIMITERS = ",;\t|"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S*", re.IGNORECASE)
_MSMARCO_DOCUMENTS = ("docid", "url", "title", "body")
_WITHOUT_HEADER = {2: ("id", "text"), 3: ("id", "title", "text")}
_QUOTED = re.compile(r'"(?:[^"]|"")*"', re.DOTALL)


type Located = tuple[Location, Document]


def read_tsv(path: Path, options: CorpusOptions, observer: Observer) -> Iterator[Located]:
    """Yield the documents of tab-separated values.

    Without a header, quotation marks have no special meaning. With one, a field in them is read as CSV's, which is how
    DPR's psgs_w100.tsv was written. Raises `RecordError` for a malformed line.
    """
    lines = text_lines(path)
    first = next(lines, None)
    if first is None:
        return
    cells = first[1].split("\t")
    names = _names(cells, options)
    if is_header(cells, options):
        yield from _named_rows(_quoted_rows(lines, len(names)), names, options, observer)
    elif names:
        columns = ((location, line.split("\t")) for location, line in chain([first], lines))
        yield from _named_rows(columns, names, options, observer)
    else:
        yield _plain(*first)
        for location, line in lines:
            yield _plain(location, line)


def read_csv(path: Path, options: CorpusOptions, observer: Observer) -> Iterator[Located]:
    """Yield the documents of comma-separated values, also with semicolons, tabs or bars; texts may have lines.

    Raises `RecordError` for a malformed record.
    """
    rows = _csv_rows(path, options)
    first = next(rows, None)
    if first is None:
        return
    location, cells = first
    names: tuple[str, ...]
    if is_header(cells, options):
        names = tuple(map(column_name, cells))
    else:
        names = _names(cells, options) or _WITHOUT_HEADER.get(len(cells), ())
        if not names:
            raise location.error(
                f"{counted(len(cells), 'column')} without a header that is recognized: {', '.join(cells)[:200]}",
                expected="a header with id and text, or rows of id,text or id,title,text",
                do="Name the columns by --id-field and --text-fields.",
            )
        rows = chain([first], rows)
    yield from _named_rows(rows, names, options, observer)


def _names(cells: list[str], options: CorpusOptions) -> tuple[str, ...]:
    """Return the names of the columns of a table with this first line, or () for id, title and text in their places."""
    if is_header(cells, options):
        return tuple(map(column_name, cells))
    if options.named:
        # Columns without names have numbers.
        return tuple(str(number) for number in range(1, len(cells) + 1))
    if len(cells) == len(_MSMARCO_DOCUMENTS) and _URL.fullmatch(cells[1]):
        return _MSMARCO_DOCUMENTS
    return ()


def _plain(location: Location, line: str) -> Located:
    match line.split("\t"):
        case [id_, text]:
            return location, Document(document_id(id_, location), "", text)
        case [id_, title, text]:
            return location, Document(document_id(id_, location), title, text)
        case columns:
            raise location.error(
                counted(len(columns), "column"),
                expected="id<TAB>text or id<TAB>title<TAB>text",
                do="Separate the columns by one tab each, and replace tabs inside the text; "
                "or name columns by a header, or their numbers by --id-field and --text-fields.",
            )


def _quoted_rows(lines: Iterator[tuple[Location, str]], width: int) -> Iterator[tuple[Location, list[str]]]:
    """Yield the fields of each record, with quotation marks taken off where CSV would have put them."""
    upcoming = next(lines, None)
    while upcoming is not None:
        location, text = upcoming
        upcoming = next(lines, None)
        columns = text.split("\t")
        if '"' in text:
            columns = _csv_fields(text, width) or columns
            for _ in range(_MOST_LINES):
                if upcoming is None or not _goes_on(columns, text, upcoming[1], width):
                    break
                text = f"{text}\n{upcoming[1]}"
                upcoming = next(lines, None)
                columns = _csv_fields(text, width) or text.split("\t")
        yield location, columns


def _goes_on(columns: list[str], text: str, next_line: str, width: int) -> bool:
    """Return whether a record with quotation marks goes on in the next line: columns are missing, or one is open."""
    if len(columns) != width:
        return len(columns) < width
    is_open = columns[-1].startswith('"') and columns[-1].count('"') % 2 == 1 and not _is_closed(text, width)
    return is_open and next_line.count("\t") + 1 < width


def _is_closed(text: str, width: int) -> bool:
    """Return whether a record is well-formed CSV with as many fields as it should have."""
    try:
        return [len(row) for row in csv.reader([text], delimiter="\t", strict=True)] == [width]
    except csv.Error:
        return False


def _csv_fields(line: str, width: int) -> list[str] | None:
    """Return the fields of a record if it has as many as it should; with quotation marks that are not CSV's, too."""
    try:
        rows = list(csv.reader([line], delimiter="\t", strict=True))
    except csv.Error:
        rows = []
    if len(rows) == 1 and len(rows[0]) == width:
        return rows[0]
    columns = line.split("\t")
    if len(columns) != width:
        return None
    return [column[1:-1].replace('""', '"') if _QUOTED.fullmatch(column) else column for column in columns]


def _csv_rows(path: Path, options: CorpusOptions) -> Iterator[tuple[Location, list[str]]]:
    csv.field_size_limit(_LONGEST_FIELD)
    lines = _decoded_lines(path)
    first = next(lines, None)
    if first is None:
        return
    delimiter = _delimiter(first, options)
    # `id, text` has a space after each comma.
    has_spaces = delimiter in first and first.count(delimiter) == first.count(f"{delimiter} ")
    reader = csv.reader(chain([first], lines), delimiter=delimiter, skipinitialspace=has_spaces, strict=True)
    start = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield Location(path, start), row
            start = reader.line_num + 1
    except csv.Error as error:
        raise Location(path, start).error(
            f"not valid CSV ({error})", expected="quotation marks in pairs, doubled inside a field"
        ) from error


def _delimiter(line: str, options: CorpusOptions) -> str:
    """Return what separates the columns: what makes a header of the first line, else what occurs most often."""
    headers = [delimiter for delimiter in _DELIMITERS if is_header(line.strip().split(delimiter), options)]
    return headers[0] if headers else max(_DELIMITERS, key=line.count)


def _decoded_lines(path: Path) -> Iterator[str]:
    number = 0
    with open_input(path) as file:
        try:
            for number, line in enumerate(file, 1):  # used after the loop
                text = decode_utf8(line, Location(path, number))
                # Files that were concatenated have such marks also within the file.
                yield text.removeprefix("\ufeff")
        except DAMAGED_DATA as error:
            raise damaged_data_error(Location(path, number + 1), error) from error


def _named_rows(
    rows: Iterator[tuple[Location, list[str]]], names: tuple[str, ...], options: CorpusOptions, observer: Observer
) -> Iterator[Located]:
    if twice := next((name for name in names if names.count(name) > 1), ""):
        for location, _ in rows:
            raise location.error(f"the header above has two columns {twice!r}", expected="each name once")
    is_first = True
    for location, columns in rows:
        if len(columns) != len(names):
            raise location.error(
                counted(len(columns), "column"), expected=f"{counted(len(names), 'column')}: {', '.join(names)}"
            )
        record = dict(zip(names, columns, strict=True))
        document = document_of(record, location, options)
        if is_first:
            observer.on_first(location, record)
            is_first = False
        yield location, document
