"""Postings sorted by a number, more than memory holds: dealt out to files by ranges of it, which are sorted."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from types import TracebackType
from typing import IO, Self, cast

import numpy as np
import numpy.typing as npt

from splade_anserini.artifacts.files import output_errors

type Numbers = npt.NDArray[np.int32]

POSTINGS = 1 << 22
"""Of a bucket, about: 50 MB, and three times that while it is sorted."""

MOST = 512
"""Buckets, whose files are open together."""


class Buckets:
    """Takes triples of numbers, gives them back by the first; those with the same stay in their order.

    Files without a name below TMPDIR hold 12 bytes a posting. Bucket i is for numbers from `bounds[i]` up to
    `bounds[i + 1]`.
    """

    def __init__(self, bounds: Sequence[int]) -> None:
        self._bounds = np.asarray(bounds, dtype=np.int64)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        count = len(self._bounds) - 1
        self._files = [cast("IO[bytes]", self._stack.enter_context(TemporaryFile())) for _ in range(count)]  # noqa: SIM115  # the stack closes
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing writes again what could not be written.
        with temporary_errors():
            self._stack.close()

    def add(self, keys: Numbers, others: Numbers, impacts: Numbers) -> None:
        """Take postings, in any order of the keys."""
        triples = np.column_stack((keys, others, impacts)).astype(np.int32)
        order = np.argsort(keys, kind="stable")
        cuts = np.searchsorted(keys[order], self._bounds)
        with temporary_errors():
            for file, first, last in zip(self._files, cuts[:-1], cuts[1:], strict=True):
                if last > first:
                    file.write(triples[order[first:last]].tobytes())

    def sorted(self) -> Iterator[npt.NDArray[np.int32]]:
        """Yield each bucket's triples, [postings, 3], by their first number."""
        for file in self._files:
            with temporary_errors():
                file.flush()
            file.seek(0)
            triples = np.frombuffer(file.read(), dtype=np.int32).reshape(-1, 3)
            yield triples[np.argsort(triples[:, 0], kind="stable")]
            file.close()


def temporary_errors() -> AbstractContextManager[None]:
    """Turn what the system says of a file below TMPDIR into an `OutputError`: a full disk is that one."""
    return output_errors(Path(gettempdir()))


def even_bounds(size: int, postings: int) -> list[int]:
    """Return bounds of the numbers below `size` for buckets of about `POSTINGS`."""
    count = max(1, min(MOST, size, -(-postings // POSTINGS)))
    return [size * bucket // count for bucket in range(count + 1)]
