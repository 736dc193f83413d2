"""NumPy arrays in a .npz file, written and read in pieces."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tokenize import TokenError
from types import TracebackType
from typing import IO, Any, Self
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo
from zlib import error as DeflateError  # noqa: N812  # a class

import numpy as np
import numpy.typing as npt

from splade_anserini.errors import InputError

type Array = npt.NDArray[Any]

COMPRESSION_LEVEL = 4

READ_ERRORS = (BadZipFile, DeflateError, EOFError, OSError, ValueError, RuntimeError, TokenError)
"""Errors that zipfile and NumPy raise for a truncated file, or for a file of another format."""


def write_array(archive: ZipFile, name: str, dtype: str, shape: tuple[int, ...], pieces: Iterable[Array]) -> None:
    """Write the concatenation of `pieces` as one array. The entry has no time stamp, so that bytes are reproducible."""
    entry = ZipInfo(f"{name}.npy")
    entry.compress_type = ZIP_DEFLATED
    entry._compresslevel = COMPRESSION_LEVEL  # type: ignore[attr-defined]  # noqa: SLF001  # public from Python 3.13
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with archive.open(entry, "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, dtype=dtype).tobytes())


class ArrayFile:
    """Reads a .npz file; use it as a context manager. Raises `InputError` for a damaged file or another format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if not self._path.is_file():
            raise InputError(f"{self._path} does not exist.", do="Check the spelling of the path.")
        try:
            self._archive = self._stack.enter_context(ZipFile(self._path))
        except READ_ERRORS as error:
            raise self.error(f"is not a .npz file, or is truncated ({error})") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def error(self, problem: str) -> InputError:
        """Return an error about this file; `problem` completes the sentence that starts with its path."""
        return InputError(
            f"{self._path} {problem}.",
            expected="a file of scipy.sparse.save_npz with the arrays ids and tokens, as convert writes it",
            do="Create or download the file again.",
        )

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._archive.namelist()

    def open(self, name: str, kinds: str) -> "ArrayStream":
        """Return an array of at most one dimension to read in pieces; `kinds` are the NumPy dtype kinds accepted."""
        if name not in self:
            raise self.error(f"has no array {name}")
        try:
            stream = ArrayStream(self._stack.enter_context(self._archive.open(f"{name}.npy")))
        except READ_ERRORS as error:
            raise self.error(f"has a damaged array {name} ({error})") from error
        if stream.dtype.hasobject or stream.dtype.kind not in kinds or len(stream.shape) > 1:
            raise self.error(f"has an array {name} of {stream.dtype}, with {len(stream.shape)} dimensions")
        return stream

    def read(self, name: str, kinds: str) -> Array:
        """Return a whole array."""
        stream = self.open(name, kinds)
        return self.pieces(name, stream, stream.size)

    def pieces(self, name: str, stream: "ArrayStream", count: int) -> Array:
        """Return the next `count` values of an array."""
        try:
            return stream.read(count)
        except READ_ERRORS as error:
            raise self.error(f"has a damaged array {name} ({error})") from error

    def texts(self, name: str, stream: "ArrayStream", count: int) -> list[str]:
        """Return the next `count` strings of an array."""
        try:
            texts: list[str] = self.pieces(name, stream, count).tolist()
            "".join(texts).encode()
        except (UnicodeEncodeError, ValueError, SystemError) as error:
            # NumPy stores any number as a character.
            raise self.error(f"has an array {name} that is not valid text ({error})") from error
        return texts


class ArrayStream:
    """An array in a file, read from its start to its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, _, self.dtype = read(file)
        self.size = int(np.prod(self.shape))

    def read(self, count: int) -> Array:
        """Return the next `count` values. Raises `EOFError` when there are fewer."""
        size = count * self.dtype.itemsize
        data = self._file.read(size) if size else b""
        if len(data) < size:
            raise EOFError(f"{len(data)} bytes instead of {size}")
        return np.frombuffer(data, dtype=self.dtype) if size else np.empty(count, dtype=self.dtype)
