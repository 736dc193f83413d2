"""Lines of plain or compressed files, read one at a time, each with its location."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from splade_anserini.errors import RecordError
from splade_anserini.formats.parsing.compression import DAMAGED_DATA, open_input

LARGEST_RECORD = 1 << 26
"""Bytes of the longest line, or characters of the longest JSON record, that is read: 64 MiB."""

_CHUNK = 1 << 18


class Location(NamedTuple):
    """The file and line of a record, for messages."""

    path: Path | str
    line: int
    unit: str = "line"
    """What `line` counts: formats that are not text have rows, or documents."""

    def __str__(self) -> str:
        return f"{self.path}, {self.unit} {self.line}"

    def error(self, problem: str, *, expected: str = "", do: str = "") -> RecordError:
        """Return the error to raise about this record; `problem` is not a full sentence."""
        return RecordError(self.path, self.line, problem, expected=expected, do=do, unit=self.unit)


def byte_lines(path: Path) -> Iterator[tuple[Location, bytes]]:
    """Yield each line that is not blank, without its line end and without byte order marks at its beginning.

    Files that were concatenated have such marks also within the file. Raises `InputError` when the file cannot be
    read, `RecordError` where its compressed data is damaged, or for a line longer than `LARGEST_RECORD`.
    """
    with open_input(path) as file:
        for line_number, line in enumerate(bounded_lines(file, path), 1):
            content = line_content(line)
            if content.strip(b" "):
                yield Location(path, line_number), content


def bounded_lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """Yield each line of a file of `open_input` with its line feed; `path` is for messages.

    Raises `RecordError` where compressed data is damaged, or for a line longer than `LARGEST_RECORD`.
    """
    line_number = 0
    beginning: list[bytes] = []
    size = 0
    try:
        while chunk := file.read(_CHUNK):
            lines = chunk.splitlines(keepends=True) if b"\r" not in chunk else _lines_by_line_feed(chunk)
            for line in lines:
                if not line.endswith(b"\n"):
                    beginning.append(line)
                    size += len(line)
                    if size > LARGEST_RECORD:
                        raise _too_long(Location(path, line_number + 1))
                    continue
                line_number += 1
                yield b"".join([*beginning, line]) if beginning else line
                beginning, size = [], 0
    except DAMAGED_DATA as error:
        raise damaged_data_error(Location(path, line_number + 1), error) from error
    if beginning:
        yield b"".join(beginning)


def line_content(line: bytes) -> bytes:
    """Return a line without its line end and without byte order marks at its beginning."""
    content = line.rstrip(b"\r\n")
    while content.startswith(BOM_UTF8):
        content = content.removeprefix(BOM_UTF8)
    return content


def text_lines(path: Path) -> Iterator[tuple[Location, str]]:
    """Yield what `byte_lines` yields, decoded.

    Raises `RecordError` for a line that is not valid UTF-8, or that has a carriage return before its end.
    """
    for location, line in byte_lines(path):
        refuse_carriage_return(line, location)
        yield location, decode_utf8(line, location)


def refuse_carriage_return(line: str | bytes, location: Location) -> None:
    """Raise `RecordError` for a carriage return before a line's end: there may be several records in such a line."""
    if ("\r" if isinstance(line, str) else b"\r") in line:  # type: ignore[operator]  # of the line's own type
        raise location.error(
            "a carriage return inside the line, which may be the end of a record",
            expected="lines that end in LF or CR LF",
            do="Convert the line ends, such as with: tr '\\r' '\\n'",
        )


def split_columns(line: bytes, location: Location, separator: bytes | None = None) -> list[bytes]:
    """Return the columns between separators, by default runs of white space.

    Raises `RecordError` for a line with a NUL character, where trec_eval would cut an id, or a carriage return.
    """
    if b"\0" in line:
        raise location.error("a NUL character", expected="text", do="Remove it, or convert the file.")
    refuse_carriage_return(line, location)
    return line.split(separator)


def decode_utf8(line: bytes, location: Location) -> str:
    """Return the decoded line. Raises `RecordError` when it is not valid UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise location.error(
            f"byte {error.start + 1} is not valid UTF-8", expected="text in UTF-8", do="Convert the file."
        ) from error


def damaged_data_error(location: Location, error: Exception) -> RecordError:
    """Return the error for compressed data that ends too early or cannot be decompressed."""
    return location.error(
        f"the compressed data is truncated or damaged ({error})",
        expected="a complete file",
        do="Download or create the file again.",
    )


def _lines_by_line_feed(chunk: bytes) -> list[bytes]:
    """Return the lines with their line feeds; `splitlines` would end a line at a carriage return, too."""
    *lines, rest = chunk.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def _too_long(location: Location) -> RecordError:
    return location.error(
        f"a line of more than {LARGEST_RECORD >> 20} MiB",
        expected=f"records of at most {LARGEST_RECORD >> 20} MiB, one to a line",
        do="If the file is one JSON array, name it .json; else split the record.",
    )
