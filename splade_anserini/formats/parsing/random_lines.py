"""Random access to lines that stay on disk."""

import os
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self, cast

import numpy as np

from splade_anserini.artifacts.files import output_errors
from splade_anserini.formats.parsing.compression import DAMAGED_DATA, is_plain, open_input
from splade_anserini.formats.parsing.lines import Location, bounded_lines, damaged_data_error, line_content

CHUNK = 1 << 20


class IndexedLines:
    """Lines by their indices from 0; memory holds the offset of each, 8 bytes.

    Each line is read with one `pread`, so several processes may read at the same time, also after a fork. Lines that
    are not in a plain file are copied to an unnamed temporary file, which exists as long as a process has it open.
    """

    def __init__(self, name: Path | str, file: IO[bytes], starts: "array[int]") -> None:
        """Read from `file`, which the caller may close; `starts` ends with the end of the last line."""
        self.name = name
        self._starts = np.array(starts, dtype=np.int64)
        self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)

    @classmethod
    def of_file(cls, path: Path, check: Callable[[bytes, Location], object]) -> Self:
        """Index the lines of a plain or gzipped file that are not blank; `check` is called with each and may raise."""
        starts = array("q")
        offset = 0
        with _uncompressed(path) as file:
            for line_number, line in enumerate(bounded_lines(file, path), 1):
                content = line_content(line)
                if content.strip(b" "):
                    check(content, Location(path, line_number))
                    starts.append(offset + len(line.rstrip(b"\r\n")) - len(content))
                offset += len(line)
            starts.append(offset)
            return cls(path, file, starts)

    @classmethod
    def spooled(cls, name: str, lines: Iterable[bytes]) -> Self:
        """Write lines, given without line ends, to a temporary file; `name` is their source, for messages."""
        starts = array("q", [0])
        with _temporary_file() as file:
            for line in lines:
                file.write(line)
                file.write(b"\n")
                starts.append(starts[-1] + len(line) + 1)
            file.flush()
            return cls(name, file, starts)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, end = self._starts[index : index + 2].tolist()
        return os.pread(self._file, end - start, start).partition(b"\n")[0].rstrip(b"\r")

    def location(self, index: int) -> Location:
        """Return the location of a line, for messages; it counts the lines before it."""
        start = int(self._starts[index])
        chunks = (os.pread(self._file, min(CHUNK, start - offset), offset) for offset in range(0, start, CHUNK))
        return Location(self.name, 1 + sum(chunk.count(b"\n") for chunk in chunks))


@contextmanager
def _temporary_file() -> Iterator[IO[bytes]]:
    with output_errors(Path(tempfile.gettempdir()) / "splade-anserini"), tempfile.TemporaryFile() as file:
        yield cast("IO[bytes]", file)


@contextmanager
def _uncompressed(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain file, or a temporary copy that holds the content of a compressed one."""
    with open_input(path) as file:
        if is_plain(file):
            yield file
            return
        with _temporary_file() as copy:
            lines = 0
            try:
                while chunk := file.read(CHUNK):
                    lines += chunk.count(b"\n")
                    copy.write(chunk)
            except DAMAGED_DATA as error:
                raise damaged_data_error(Location(path, lines + 1), error) from error
            copy.seek(0)
            yield copy
