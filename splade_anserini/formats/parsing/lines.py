"""Lines of plain or compressed files, read one at a time, each with its location."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from splade_anserini.errors import RecordError
from splade_anserini.formats.parsing.compression import DAMAGED_DATA, open_input


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
    """Yield each line that is not blank, without its line end and without a byte order mark.

    Raises `InputError` when the file cannot be read, `RecordError` where its compressed data is damaged.
    """
    line_number = 0
    with open_input(path) as file:
        try:
            for line_number, line in enumerate(file, 1):
                content = line.rstrip(b"\r\n")
                if line_number == 1:
                    content = content.removeprefix(BOM_UTF8)
                if content.strip(b" "):
                    yield Location(path, line_number), content
        except DAMAGED_DATA as error:
            raise damaged_data_error(Location(path, line_number + 1), error) from error


def text_lines(path: Path) -> Iterator[tuple[Location, str]]:
    """Yield what `byte_lines` yields, decoded. Raises `RecordError` for a line that is not valid UTF-8."""
    for location, line in byte_lines(path):
        yield location, decode_utf8(line, location)


def split_columns(line: bytes, location: Location, separator: bytes | None = None) -> list[bytes]:
    """Return the columns between separators, by default runs of white space.

    Raises `RecordError` for a line with a NUL character, where trec_eval would cut an id.
    """
    if b"\0" in line:
        raise location.error("a NUL character", expected="text", do="Remove it, or convert the file.")
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
