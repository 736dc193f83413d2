"""SHA-256 fingerprints of files, vocabularies, weights and indexes; equal content has equal fingerprints."""

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def fingerprint_of_bytes(*parts: bytes) -> str:
    """Return the SHA-256 of the parts, each preceded by its length, so that the division into parts counts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def fingerprint_of_file(path: StrPath) -> str:
    """Return the SHA-256 of a file's bytes, as `sha256sum` prints it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashingWriter(io.RawIOBase):
    """Writes through to a file, and updates a digest with what is written."""

    def __init__(self, file: IO[bytes], digest: "hashlib._Hash") -> None:
        self._file = file
        self._digest = digest

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: "ReadableBuffer") -> int:
        """Write bytes; return how many were written."""
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()


def fingerprint_of_directory(directory: Path, files: Iterable[Path]) -> str:
    """Return the fingerprint of files in and below a directory: of their paths in it and their contents."""
    return fingerprint_of_bytes(
        *(
            part.encode()
            for path in sorted(files)
            for part in (str(path.relative_to(directory)), fingerprint_of_file(path))
        )
    )


def fingerprint_of_vocabulary(tokens: Sequence[str]) -> str:
    """Return the fingerprint of the tokens in the order of their ids."""
    return fingerprint_of_bytes(*(token.encode() for token in tokens))


def fingerprint_of_arrays(arrays: Iterable[tuple[str, str, tuple[int, ...], bytes]]) -> str:
    """Return the fingerprint of named arrays, given as (name, dtype, shape, bytes); their order has no effect."""
    parts = (
        fingerprint_of_bytes(name.encode(), dtype.encode(), repr(shape).encode(), data)
        for name, dtype, shape, data in arrays
    )
    return fingerprint_of_bytes(*(part.encode() for part in sorted(parts)))
