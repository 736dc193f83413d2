"""Detection of duplicate ids among any number of them, in constant memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from splade_anserini.artifacts.files import output_errors
from splade_anserini.errors import RecordError
from splade_anserini.formats.parsing.lines import Location

BUCKETS = 64
BUFFER_SIZE = 1 << 16
"""Bytes that a bucket holds in memory before they go to its file: 4 MiB over all buckets."""

DIGEST_SIZE = 16
"""Bytes of the digest of an id."""

SUSPECTS = 10_000
"""How many repeated digests are checked in one pass over the ids."""


def digest_of(id_: str) -> bytes:
    """Return a 128-bit hash of the id."""
    return hashlib.blake2b(id_.encode(), digest_size=DIGEST_SIZE).digest()


class DuplicateFinder:
    """Collects ids and finds the digests that occur more than once, as a context manager.

    The digests go to temporary files, one for each bucket, which are removed when the block ends.
    """

    def __init__(self) -> None:
        self._buffers = [bytearray() for _ in range(BUCKETS)]
        self._directory = TemporaryDirectory(prefix="splade-anserini-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.cleanup()

    def add(self, id_: str) -> None:
        """Add one id."""
        digest = digest_of(id_)
        bucket = digest[0] % BUCKETS
        buffer = self._buffers[bucket]
        buffer += digest
        if len(buffer) >= BUFFER_SIZE:
            self._flush(bucket)

    def repeated(self) -> Iterator[set[bytes]]:
        """Yield the digests that were added more than once, in sets of at most `SUSPECTS`."""
        for bucket, buffer in enumerate(self._buffers):
            path = self._path(bucket)
            stored = path.read_bytes() if path.exists() else b""
            digests = _repeated_rows(stored + buffer)
            for start in range(0, len(digests), SUSPECTS):
                yield {row.tobytes() for row in digests[start : start + SUSPECTS]}

    def _flush(self, bucket: int) -> None:
        path = self._path(bucket)
        with output_errors(path), path.open("ab") as file:
            file.write(self._buffers[bucket])
        self._buffers[bucket].clear()

    def _path(self, bucket: int) -> Path:
        return Path(self._directory.name) / str(bucket)


def _repeated_rows(digests: bytes) -> npt.NDArray[np.uint64]:
    """Return the digests that occur more than once, sorted, as distinct rows of 2 × 64 bits."""
    rows = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    equals_previous = (rows[1:] == rows[:-1]).all(axis=1)
    second_of_its_kind = equals_previous.copy()
    second_of_its_kind[1:] &= ~equals_previous[:-1]
    repeated: npt.NDArray[np.uint64] = rows[1:][second_of_its_kind]
    return repeated


def refuse_duplicates(finder: DuplicateFinder, ids: Callable[[], Iterable[tuple[Location, str]]], noun: str) -> None:
    """Raise `RecordError` for the first id that occurs twice; `noun` names the ids, such as "document id".

    `ids` is read again only if digests are repeated. Two ids that merely share a digest are not duplicates.
    """
    for suspects in finder.repeated():
        first: dict[str, Location] = {}
        for location, id_ in ids():
            if digest_of(id_) in suspects:
                if id_ in first:
                    raise duplicate_error(location, id_, first[id_], noun)
                first[id_] = location


def duplicate_error(location: Location, id_: str, first: Location, noun: str) -> RecordError:
    """Return the error for an id that occurred before, at `first`."""
    seen = f"{first.unit} {first.line}" if first.path == location.path else str(first)
    return location.error(
        f"duplicate {noun} {id_!r} (first seen at {seen})",
        expected=f"each {noun} once",
        do="Remove or rename one of them.",
    )
