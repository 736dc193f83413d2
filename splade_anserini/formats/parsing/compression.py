"""Files that are decompressed as they are read, by their content, and written through gzip when they end in .gz."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from splade_anserini.artifacts.files import whole_file
from splade_anserini.artifacts.fingerprints import HashingWriter
from splade_anserini.artifacts.outputs import check_output_name
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.archives import ZIP_MAGIC, member_of, only_member, split_archive

if TYPE_CHECKING:
    import hashlib

    from _typeshed import WriteableBuffer

COMPRESSION_LEVEL = 4
"""From 1 to 9. For impact vectors, level 4 takes less than half the time of level 9, and files are 6 % larger."""

DAMAGED_DATA = (EOFError, gzip.BadGzipFile, zlib.error)
"""What reading truncated or corrupt compressed data raises."""

SUFFIXES = (".gz", ".gzip", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".zip")
"""The suffixes of the names of compressed files. They do not decide how a file is read."""

_GZIP, _BZIP2, _XZ, _ZSTANDARD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_REFUSED = {
    b"\x04\x22\x4d\x18": ("compressed by lz4", "Decompress it first: lz4 -d"),
    b"\x1f\x9d": ("compressed by compress", "Decompress it first: uncompress"),
    b"PK\x05\x06": ("an empty zip archive", "Download or create it again."),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "Unpack it first: 7z x"),
    b"Rar!": ("a RAR archive", "Unpack it first: unrar x"),
    b"PAR1": ("a Parquet file", "Convert it to JSON lines."),
    b"ARROW1": ("an Arrow file", "Convert it to JSON lines."),
    b"SQLite format 3\x00": ("an SQLite database", "Export the table as JSON lines."),
    b"version https://git-lfs.github.com/": ("a pointer of Git LFS", "Download what it points to: git lfs pull"),
    b"%PDF-": ("a PDF file", "Convert it to text."),
}
"""How files begin that are not text, what they are, and what to do."""
_TAR = b"ustar"
_TAR_OFFSET = 257
_LONGEST_MAGIC = _TAR_OFFSET + len(_TAR)
_CHUNK = 1 << 16
_NESTED = 3
"""Compressions of compressed data that are undone: a .gz in a zip archive has two."""


@contextmanager
def open_input(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed if it begins as gzip, bzip2, xz, Zstandard or zip do, whatever its name.

    The only file of a zip archive is read as the archive itself; one of several is `ARCHIVE.zip/NAME`. Raises
    `InputError` when it cannot be read or is certainly not a text, and on reading one of `DAMAGED_DATA`.
    """
    with ExitStack() as stack:
        archive, member = split_archive(path)
        file = stack.enter_context(_open(archive))
        if file.peek(len(ZIP_MAGIC)).startswith(ZIP_MAGIC):
            member = member or only_member(archive)
            file = stack.enter_context(_open_member(file, archive, member))
        yield _decompressed(file, path, stack)


def beginning(path: Path, size: int) -> bytes:
    """Return the first bytes of what `open_input` reads; fewer than `size` where the data is damaged or ends."""
    with open_input(path) as file:
        try:
            return file.read(size)
        except DAMAGED_DATA:
            return b""


def is_plain(file: IO[bytes]) -> bool:
    """Return whether a file of `open_input` is read without decompression."""
    return isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO)


def require_plain(path: Path) -> None:
    """Raise `InputError` for a file in an archive, where a format needs a file of its own."""
    archive, member = split_archive(path)
    if member:
        raise InputError(f"{path} is in a zip archive.", expected="a file", do=f"Unpack it first: unzip {archive}")


def without_compression_suffix(name: str) -> str:
    """Return a file's name without the suffixes of compressed files."""
    while suffix := next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), ""):
        name = name[: -len(suffix)]
    return name


def _open(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.", do="Check the spelling of the path.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", expected="a readable file") from error


def _open_member(file: IO[bytes], archive: Path, member: str) -> io.BufferedReader:
    content = member_of(file, archive, member)
    return io.BufferedReader(_Decompressed(content))


def _decompressed(file: io.BufferedReader, path: Path, stack: ExitStack) -> IO[bytes]:
    """Return a file, or what its content decompresses to."""
    result: IO[bytes] = file
    for _ in range(_NESTED):
        start = _peek(result)
        _refuse_other_than_text(start, path)
        open_compressed = _reader_of(start)
        if open_compressed is None:
            break
        result = stack.enter_context(open_compressed(result))
    return result


def _reader_of(start: bytes) -> Callable[[IO[bytes]], IO[bytes]] | None:
    """Return the function that opens a file with this beginning to decompress it, or None for plain content."""
    if start.startswith(_GZIP):
        # Read by lines it is faster than in another buffer.
        return lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
    if start.startswith(_BZIP2):
        return lambda file: io.BufferedReader(_Streams(file, bz2.BZ2Decompressor))
    if start.startswith(_XZ):
        return lambda file: io.BufferedReader(_Streams(file, lzma.LZMADecompressor))
    if start.startswith(_ZSTANDARD):
        return lambda file: io.BufferedReader(_Decompressed(_zstandard_file(file)))
    return None


def _zstandard_file(file: IO[bytes]) -> IO[bytes]:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdFile
    else:
        from backports.zstd import ZstdFile
    return cast("IO[bytes]", ZstdFile(file))


def _peek(file: IO[bytes]) -> bytes:
    """Return the first bytes without reading on; damaged data has none here, and raises when it is read."""
    try:
        return cast("io.BufferedReader", file).peek(_LONGEST_MAGIC)[:_LONGEST_MAGIC]
    except DAMAGED_DATA:
        return b""


def _refuse_other_than_text(start: bytes, path: Path) -> None:
    for magic, (kind, do) in _REFUSED.items():
        if start.startswith(magic):
            raise InputError(
                f"{path} is {kind}.", expected="text, perhaps compressed by gzip, bzip2, xz, zstd or zip", do=do
            )
    if start[_TAR_OFFSET:].startswith(_TAR):
        raise InputError(f"{path} is a tar archive.", expected="a single file", do="Unpack it first: tar -xf")


class _Streams(io.RawIOBase):
    """A file of one compressed stream or several, of which damaged data, in any of them, is an `EOFError`.

    Python's own readers take a later stream that does not begin well for the end of the file.
    """

    def __init__(
        self, file: IO[bytes], decompressor: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
    ) -> None:
        self._file, self._new = file, decompressor
        self._stream, self._rest = decompressor(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        data = b""
        while not data:
            if self._stream.eof and not self._next_stream():
                return 0
            try:
                data = self._decompress(len(view))
            except (OSError, lzma.LZMAError) as error:
                raise EOFError(str(error)) from error
        view[: len(data)] = data
        return len(data)

    def _decompress(self, size: int) -> bytes:
        compressed = b""
        if self._stream.needs_input and not (compressed := self._read()):
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return self._stream.decompress(compressed, size)

    def _next_stream(self) -> bool:
        """Begin the next stream, if there is one; null bytes may stand between them."""
        self._rest = self._stream.unused_data.lstrip(b"\0")
        while not self._rest and (chunk := self._file.read(_CHUNK)):
            self._rest = chunk.lstrip(b"\0")
        if self._rest:
            self._stream = self._new()
        return bool(self._rest)

    def _read(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest or self._file.read(_CHUNK)


class _Decompressed(io.RawIOBase):
    """A decompressed file, of which damaged data is an `EOFError`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._errors = (OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, _zstandard_error())

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = self._file.read(len(view))
        except self._errors as error:
            raise EOFError(str(error)) from error
        view[: len(data)] = data
        return len(data)


def _zstandard_error() -> type[Exception]:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdError
    else:
        from backports.zstd import ZstdError
    return cast("type[Exception]", ZstdError)


@contextmanager
def open_output(
    path: Path, level: int = COMPRESSION_LEVEL, digest: "hashlib._Hash | None" = None
) -> Iterator[IO[bytes]]:
    """Open a file for writing, compressed if its name ends in .gz; it appears as a whole when the block ends.

    The gzip header has no time and no file name, so the same content always gives the same bytes. `digest` is updated
    with the bytes of the file. Raises `OutputError` for the name of another compression.
    """
    check_output_name(path)
    with whole_file(path) as whole, compressed(whole, path.name, level, digest) as file:
        yield file


@contextmanager
def compressed(
    output: IO[bytes], name: str, level: int = COMPRESSION_LEVEL, digest: "hashlib._Hash | None" = None
) -> Iterator[IO[bytes]]:
    """Yield a file whose content goes into `output`, compressed if `name` ends in .gz; see `open_output`."""
    file = output if digest is None else cast("IO[bytes]", HashingWriter(output, digest))
    if not name.endswith(".gz"):
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=file, mtime=0) as gzipped:
        yield cast("IO[bytes]", gzipped)
