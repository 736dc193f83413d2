"""Which examples stand in which batch: decided by the seed alone, so that a run can go on anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Choice:
    """The examples of one batch."""

    source: int
    examples: npt.NDArray[np.int64]


class BatchPlan:
    """Batches by their numbers from 0, each of one source; an example comes again when all of its source have come.

    A source is drawn in proportion to size^`mixing`. With `clusters` (an array for each source: the cluster of every
    example) a batch holds examples of one cluster, or of few.
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
        chances = np.array(sizes, dtype=np.float64) ** mixing
        self._sources = np.random.default_rng(seed).choice(len(sizes), size=batches, p=chances / chances.sum())
        # How many batches of the same source came before each.
        self._before = np.zeros(batches, dtype=np.int64)
        for source in range(len(sizes)):
            places = np.flatnonzero(self._sources == source)
            self._before[places] = np.arange(len(places))
        self._epoch = lru_cache(maxsize=len(sizes) + 1)(self._shuffled)

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, number: int) -> Choice:
        source = int(self._sources[number])
        size = min(self._batch_size, self._sizes[source])
        epoch, place = divmod(int(self._before[number]), self._sizes[source] // size)
        return Choice(source, self._epoch(source, epoch, size)[place])

    def _shuffled(self, source: int, epoch: int, size: int) -> npt.NDArray[np.int64]:
        """Return the batches of an epoch, [batches, size]; what is left over waits for another epoch."""
        dice = np.random.default_rng((self._seed, source, epoch))
        clusters = self._clusters[source]
        # Clusters in random order, examples in random order within each.
        order = np.lexsort((dice.random(len(clusters)), dice.permutation(int(clusters.max()) + 1)[clusters]))
        batches = len(order) // size
        start = int(dice.integers(len(order) - batches * size + 1))
        return dice.permutation(order[start : start + batches * size].reshape(batches, size))
