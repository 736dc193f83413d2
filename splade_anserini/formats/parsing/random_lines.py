"""Lines that stay on disk, any of them at hand; what is in memory is where each begins."""

import gzip
import os
import tempfile
import weakref
import zlib
from array import array
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self, cast

import numpy as np

from splade_anserini.artifacts.files import output_errors
from splade_anserini.formats.parsing.lines import Place, damaged, open_bytes

CHUNK = 1 << 20


class Lines:
    """Lines by their numbers from 0, in 8 bytes of memory each.

    A line is one read at a known place, so processes may read at once, also after a fork. What is not a plain file
    is copied into a temporary one that has no name: it goes with its last reader.
    """

    def __init__(self, name: Path | str, file: IO[bytes], starts: "array[int]") -> None:
        """Take over `file`, which the caller may close; `starts` ends with the end of the last line."""
        self.name = name
        self._starts = np.array(starts, dtype=np.int64)
        self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)

    @classmethod
    def of_file(cls, path: Path, check: Callable[[bytes, Place], object]) -> Self:
        """Read a file once, plain or .gz; `check` looks at each line that is not blank, and raises if it is bad."""
        starts = array("q")
        at = 0
        with _plain(path) as file:
            for number, line in enumerate(file, 1):
                skipped = len(BOM_UTF8) if number == 1 and line.startswith(BOM_UTF8) else 0
                content = line[skipped:].rstrip(b"\r\n")
                if content.strip(b" "):
                    check(content, Place(path, number))
                    starts.append(at + skipped)
                at += len(line)
            starts.append(at)
            return cls(path, file, starts)

    @classmethod
    def spooled(cls, name: str, lines: Iterable[bytes]) -> Self:
        """Put lines, each without its end, into a temporary file."""
        starts = array("q", [0])
        with _spool() as file:
            for line in lines:
                file.write(line)
                file.write(b"\n")
                starts.append(starts[-1] + len(line) + 1)
            file.flush()
            return cls(name, file, starts)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> bytes:
        if not 0 <= number < len(self):
            raise IndexError(number)
        start, end = self._starts[number : number + 2].tolist()
        return os.pread(self._file, end - start, start).partition(b"\n")[0].rstrip(b"\r")

    def place(self, number: int) -> Place:
        """Return where a line stands, by counting those before it: for messages."""
        start = int(self._starts[number])
        chunks = (os.pread(self._file, min(CHUNK, start - at), at) for at in range(0, start, CHUNK))
        return Place(self.name, 1 + sum(chunk.count(b"\n") for chunk in chunks))


@contextmanager
def _spool() -> Iterator[IO[bytes]]:
    with output_errors(Path(tempfile.gettempdir()) / "splade-anserini"), tempfile.TemporaryFile() as file:
        yield cast("IO[bytes]", file)


@contextmanager
def _plain(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed if it is .gz."""
    with open_bytes(path) as file:
        if not path.name.endswith(".gz"):
            yield file
            return
        with _spool() as spool:
            lines = 0
            try:
                while chunk := file.read(CHUNK):
                    lines += chunk.count(b"\n")
                    spool.write(chunk)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise damaged(Place(path, lines + 1), error) from error
            spool.seek(0)
            yield spool
