"""Decide from the seed alone which examples are in which batch, so that a run can resume at any batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """The examples of one batch."""

    source: int
    """The index of the source that all examples come from."""
    examples: npt.NDArray[np.int64]
    """[examples]: their indices in the source."""


class BatchPlan:
    """A sequence of planned batches; each holds examples of one source.

    A source is drawn with a probability proportional to size^`mixing`. All examples of a source are used before one is
    used again; a remainder that does not fill a batch is left for another epoch. With `clusters` (for each source an
    array with the cluster of every example) a batch holds examples of one cluster, or of few.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        batch_size: int,
        *,
        batches: int,
        seed: int,
        mixing: float = 1.0,
        clusters: Sequence[npt.NDArray[np.int64]] | None = None,
    ) -> None:
        self._sizes = tuple(sizes)
        self._batch_size = batch_size
        self._seed = seed
        self._clusters = clusters or [np.zeros(size, dtype=np.int64) for size in sizes]
        weights = np.array(sizes, dtype=np.float64) ** mixing
        self._sources = np.random.default_rng(seed).choice(len(sizes), size=batches, p=weights / weights.sum())
        # For each batch, how many earlier batches are of the same source.
        self._earlier = np.zeros(batches, dtype=np.int64)
        for source in range(len(sizes)):
            batch_indices = np.flatnonzero(self._sources == source)
            self._earlier[batch_indices] = np.arange(len(batch_indices))
        self._epoch = lru_cache(maxsize=len(sizes) + 1)(self._shuffled_epoch)

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, batch_index: int) -> PlannedBatch:
        source = int(self._sources[batch_index])
        size = min(self._batch_size, self._sizes[source])
        epoch, index_in_epoch = divmod(int(self._earlier[batch_index]), self._sizes[source] // size)
        return PlannedBatch(source, self._epoch(source, epoch, size)[index_in_epoch])

    def _shuffled_epoch(self, source: int, epoch: int, size: int) -> npt.NDArray[np.int64]:
        """Return the batches of one epoch, [batches, size]."""
        generator = np.random.default_rng((self._seed, source, epoch))
        clusters = self._clusters[source]
        # Clusters in random order, examples in random order within each.
        keys = generator.random(len(clusters)), generator.permutation(int(clusters.max()) + 1)[clusters]
        order = np.lexsort(keys)
        batches = len(order) // size
        start = int(generator.integers(len(order) - batches * size + 1))
        return generator.permutation(order[start : start + batches * size].reshape(batches, size))
