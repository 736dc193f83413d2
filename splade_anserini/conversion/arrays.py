"""The arrays in a .npz file, written and read in pieces."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tokenize import TokenError
from types import TracebackType
from typing import IO, Any, Self
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo
from zlib import error as DeflateError  # noqa: N812  # it is a class

import numpy as np
import numpy.typing as npt

from splade_anserini.errors import InputError

type Array = npt.NDArray[Any]

COMPRESSION = 4

DAMAGED = (BadZipFile, DeflateError, EOFError, OSError, ValueError, RuntimeError, TokenError)
"""What reading a file raises that is cut off, or is something else."""


def write_array(archive: ZipFile, name: str, dtype: str, shape: tuple[int, ...], pieces: Iterable[Array]) -> None:
    """Add an array, which is all `pieces` behind each other; without a time, so that the bytes are always the same."""
    entry = ZipInfo(f"{name}.npy")
    entry.compress_type = ZIP_DEFLATED
    entry._compresslevel = COMPRESSION  # type: ignore[attr-defined]  # noqa: SLF001  # public from Python 3.13
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with archive.open(entry, "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, dtype=dtype).tobytes())


class ArrayFile:
    """Reads a .npz file; as a context manager. Raises `InputError` for what is none, or is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if not self._path.is_file():
            raise InputError(f"{self._path} does not exist.", do="Check the spelling of the path.")
        try:
            self._archive = self._stack.enter_context(ZipFile(self._path))
        except DAMAGED as error:
            raise self.error(f"is no .npz file, or is cut off ({error})") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def error(self, found: str) -> InputError:
        """Return the error that says what is wrong with the file."""
        return InputError(
            f"{self._path} {found}.",
            expected="a file of scipy.sparse.save_npz with the arrays ids and tokens, as convert writes it",
            do="Make or fetch the file again.",
        )

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._archive.namelist()

    def open(self, name: str, kinds: str) -> "ArrayStream":
        """Return an array of one dimension, whose kind of numbers is one of `kinds`, to read in pieces."""
        if name not in self:
            raise self.error(f"holds no array {name}")
        try:
            stream = ArrayStream(self._stack.enter_context(self._archive.open(f"{name}.npy")))
        except DAMAGED as error:
            raise self.error(f"holds a damaged array {name} ({error})") from error
        if stream.dtype.hasobject or stream.dtype.kind not in kinds or len(stream.shape) > 1:
            raise self.error(f"holds an array {name} of {stream.dtype}, with {len(stream.shape)} dimensions")
        return stream

    def take(self, name: str, kinds: str) -> Array:
        """Return a whole array."""
        stream = self.open(name, kinds)
        return self.pieces(name, stream, stream.size)

    def pieces(self, name: str, stream: "ArrayStream", count: int) -> Array:
        """Return the next `count` numbers of an array."""
        try:
            return stream.read(count)
        except DAMAGED as error:
            raise self.error(f"holds a damaged array {name} ({error})") from error

    def texts(self, name: str, stream: "ArrayStream", count: int) -> list[str]:
        """Return the next `count` strings of an array."""
        try:
            texts: list[str] = self.pieces(name, stream, count).tolist()
            "".join(texts).encode()
        except (UnicodeEncodeError, ValueError, SystemError) as error:
            # NumPy holds any number as a character.
            raise self.error(f"holds an array {name} that is no text ({error})") from error
        return texts


class ArrayStream:
    """An array in a file, whose numbers are read one after the other."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, _, self.dtype = read(file)
        self.size = int(np.prod(self.shape))

    def read(self, count: int) -> Array:
        """Return the next `count` numbers. Raises `EOFError` when there are no more."""
        wanted = count * self.dtype.itemsize
        found = self._file.read(wanted) if wanted else b""
        if len(found) < wanted:
            raise EOFError(f"{len(found)} bytes instead of {wanted}")
        return np.frombuffer(found, dtype=self.dtype) if wanted else np.empty(count, dtype=self.dtype)
