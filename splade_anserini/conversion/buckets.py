"""External sorting of postings: they are distributed to temporary files by key ranges, and each file is sorted."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from types import TracebackType
from typing import IO, Self, cast

import numpy as np
import numpy.typing as npt

from splade_anserini.artifacts.files import output_errors

type Integers = npt.NDArray[np.int32]

POSTINGS = 1 << 22
"""Approximate postings per bucket: 50 MB, and three times as much memory while a bucket is sorted."""

MOST_BUCKETS = 512
"""Upper limit of the number of buckets, because all their files are open at the same time."""


class Buckets:
    """Sorts triples of integers by the first one, stably; use it as a context manager.

    Unnamed files in TMPDIR take 12 bytes per posting. Bucket i takes keys from `bounds[i]` to `bounds[i + 1]` − 1.
    """

    def __init__(self, bounds: Sequence[int]) -> None:
        self._bounds = np.asarray(bounds, dtype=np.int64)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        count = len(self._bounds) - 1
        self._files = [cast("IO[bytes]", self._stack.enter_context(TemporaryFile())) for _ in range(count)]  # noqa: SIM115  # the stack closes them
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing a file tries again to write what is buffered.
        with temporary_errors():
            self._stack.close()

    def add(self, keys: Integers, values: Integers, impacts: Integers) -> None:
        """Add triples, in any order of their keys."""
        triples = np.column_stack((keys, values, impacts)).astype(np.int32)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], self._bounds)
        with temporary_errors():
            for file, start, end in zip(self._files, starts[:-1], starts[1:], strict=True):
                if end > start:
                    file.write(triples[order[start:end]].tobytes())

    def sorted(self) -> Iterator[Integers]:
        """Yield the triples of each bucket, [postings, 3], sorted by the first column."""
        for file in self._files:
            with temporary_errors():
                file.flush()
            file.seek(0)
            triples = np.frombuffer(file.read(), dtype=np.int32).reshape(-1, 3)
            yield triples[np.argsort(triples[:, 0], kind="stable")]
            file.close()


def temporary_errors() -> AbstractContextManager[None]:
    """Turn errors of temporary files into an `OutputError` that names TMPDIR, as the full disk is that one."""
    return output_errors(Path(gettempdir()))


def even_bounds(key_count: int, postings: int) -> list[int]:
    """Return the bounds of buckets of about `POSTINGS` postings, for keys below `key_count`."""
    buckets = max(1, min(MOST_BUCKETS, key_count, -(-postings // POSTINGS)))
    return [key_count * bucket // buckets for bucket in range(buckets + 1)]
