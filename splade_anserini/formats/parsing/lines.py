"""Lines of files, plain or .gz, one at a time, and the place where each stands."""

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

from splade_anserini.errors import InputError, RecordError


class Place(NamedTuple):
    """Where a record stands, for messages."""

    path: Path | str
    line: int
    unit: str = "line"
    """What is counted: files that are no text have rows, or documents."""

    def __str__(self) -> str:
        return f"{self.path}, {self.unit} {self.line}"

    def error(self, found: str, *, expected: str = "", do: str = "") -> RecordError:
        """Return the error to raise about the record that stands here; `found` is no full sentence."""
        return RecordError(self.path, self.line, found, expected=expected, do=do, unit=self.unit)


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, through gzip when its name ends in .gz. Raises `InputError` when it cannot be read."""
    try:
        file = cast("IO[bytes]", gzip.GzipFile(path)) if path.name.endswith(".gz") else path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.", do="Check the spelling of the path.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", expected="a readable file") from error
    with file:
        yield file


def byte_lines(path: Path) -> Iterator[tuple[Place, bytes]]:
    """Yield each line that is not blank, without its end. Raises `RecordError` where compressed data is damaged."""
    number = 0
    with open_bytes(path) as file:
        try:
            for number, line in enumerate(file, 1):
                content = line.rstrip(b"\r\n")
                if number == 1:
                    content = content.removeprefix(BOM_UTF8)
                if content.strip(b" "):
                    yield Place(path, number), content
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise damaged(Place(path, number + 1), error) from error


def text_lines(path: Path) -> Iterator[tuple[Place, str]]:
    """Yield each line that is not blank, as text, without its end. Raises `RecordError` where it is not UTF-8."""
    for place, line in byte_lines(path):
        yield place, decoded(line, place)


def columns_of(line: bytes, place: Place) -> list[bytes]:
    """Return what white space separates. Raises `RecordError` for a line with NUL, where trec_eval would cut an id."""
    if b"\0" in line:
        raise place.error("a character NUL", expected="text", do="Remove it, or convert the file.")
    return line.split()


def decoded(line: bytes, place: Place) -> str:
    """Return the line as text. Raises `RecordError` when it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise place.error(
            f"byte {error.start + 1} is no UTF-8", expected="text in UTF-8", do="Convert the file."
        ) from error


def damaged(place: Place, error: Exception) -> RecordError:
    """Return the error for compressed data that ends too early or holds nonsense."""
    return place.error(
        f"the compressed data is cut off or damaged here ({error})",
        expected="a whole gzip file",
        do="Fetch or make the file again.",
    )
