"""Finding ids that occur twice, among any number of them, in little memory."""

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
from splade_anserini.formats.parsing.lines import Place

BUCKETS = 64
BUFFER = 1 << 16
"""Bytes a bucket holds in memory before it goes to its file: 4 MiB over all buckets."""

DIGEST = 16
"""Bytes."""

SUSPECTS = 10_000
"""How many repeated digests are looked into at once."""


def digest_of(id_: str) -> bytes:
    """Return 128 bits that stand for the id."""
    return hashlib.blake2b(id_.encode(), digest_size=DIGEST).digest()


class DuplicateFinder:
    """Takes ids and says which digests came twice. Files hold the digests, by their first byte; they go at the end."""

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
        """Take one id."""
        digest = digest_of(id_)
        bucket = digest[0] % BUCKETS
        buffer = self._buffers[bucket]
        buffer += digest
        if len(buffer) >= BUFFER:
            self._flush(bucket)

    def repeated(self) -> Iterator[set[bytes]]:
        """Yield the digests that were taken more than once, at most `SUSPECTS` at a time."""
        for bucket, buffer in enumerate(self._buffers):
            stored = self._file(bucket).read_bytes() if self._file(bucket).exists() else b""
            digests = _repeated(stored + buffer)
            for start in range(0, len(digests), SUSPECTS):
                yield {row.tobytes() for row in digests[start : start + SUSPECTS]}

    def _flush(self, bucket: int) -> None:
        path = self._file(bucket)
        with output_errors(path), path.open("ab") as file:
            file.write(self._buffers[bucket])
        self._buffers[bucket].clear()

    def _file(self, bucket: int) -> Path:
        return Path(self._directory.name) / str(bucket)


def _repeated(digests: bytes) -> npt.NDArray[np.uint64]:
    """Return the rows (of 2 × 64 bits) that occur more than once, each once, in order."""
    rows = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    same = (rows[1:] == rows[:-1]).all(axis=1)
    first = same & ~np.concatenate(([False], same[:-1])) if len(same) else same
    repeated: npt.NDArray[np.uint64] = rows[1:][first]
    return repeated


def refuse_duplicates(finder: DuplicateFinder, ids: Callable[[], Iterable[tuple[Place, str]]], what: str) -> None:
    """Raise `RecordError` for the first id that occurs twice; `ids` are read again only when digests did.

    Two ids that merely share a digest are no duplicates.
    """
    for suspects in finder.repeated():
        first: dict[str, Place] = {}
        for place, id_ in ids():
            if digest_of(id_) in suspects:
                if id_ in first:
                    raise duplicate(place, id_, first[id_], what)
                first[id_] = place


def duplicate(place: Place, id_: str, first: Place, what: str) -> RecordError:
    """Return the error for an id that stood before."""
    return place.error(
        f"the {what} {id_!r} occurs again; it stands already at {first}",
        expected=f"each {what} once",
        do="Remove or rename one of them.",
    )
