"""Files that are decompressed as they are read, and written through gzip when their name ends in .gz."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from splade_anserini.artifacts.files import whole_file
from splade_anserini.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

COMPRESSION_LEVEL = 4
"""From 1 to 9. For impact vectors, level 4 takes less than half the time of level 9, and files are 6 % larger."""

DAMAGED_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
"""What reading a truncated or corrupt gzip file raises."""


_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_NOT_READ = {b"\x28\xb5\x2f\xfd": ("Zstandard", "zstd -d"), b"PK\x03\x04": ("zip", "unzip")}
"""How compressed files begin, and for those that are not read, their format and the command to decompress them."""


@contextmanager
def open_input(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed if its name ends in .gz, or if it begins as gzip, bzip2 or xz do.

    Raises `InputError` when it cannot be read or has another compression, and on reading one of `DAMAGED_GZIP`.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.", do="Check the spelling of the path.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", expected="a readable file") from error
    with file:
        beginning = file.peek(6)[:6]
        for magic, (name, command) in _NOT_READ.items():
            if beginning.startswith(magic):
                raise InputError(
                    f"{path} is compressed as {name}.",
                    expected="a plain file, or one compressed by gzip, bzip2 or xz",
                    do=f"Decompress it first: {command}",
                )
        found = next((name for magic, name in _MAGIC.items() if beginning.startswith(magic)), "")
        if found == "gzip" or path.name.endswith(".gz"):
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        elif found:
            with bz2.BZ2File(file) if found == "bzip2" else lzma.LZMAFile(file) as compressed:
                yield io.BufferedReader(_Decompressed(compressed))
        else:
            yield file


def is_plain(file: IO[bytes]) -> bool:
    """Return whether a file of `open_input` is read without decompression."""
    return isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO)


class _Decompressed(io.RawIOBase):
    """A decompressed file, of which damaged data is an `EOFError`."""

    def __init__(self, file: bz2.BZ2File | lzma.LZMAFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        try:
            return self._file.readinto(buffer)
        except (OSError, lzma.LZMAError) as error:
            raise EOFError(str(error)) from error


@contextmanager
def open_output(path: Path, level: int = COMPRESSION_LEVEL) -> Iterator[IO[bytes]]:
    """Open a file for writing, compressed if its name ends in .gz; it appears as a whole when the block ends.

    The gzip header has no time and no file name, so the same content always gives the same bytes.
    """
    with whole_file(path) as file:
        if not path.name.endswith(".gz"):
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=file, mtime=0) as compressed:
            yield cast("IO[bytes]", compressed)
