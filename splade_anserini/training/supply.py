"""The batches of a run, one after the other, and what a teacher says of them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from splade_anserini.ahead import ahead
from splade_anserini.formats.examples import Examples
from splade_anserini.training.batch import Batch, Collator
from splade_anserini.training.plan import BatchPlan


class Share(NamedTuple):
    """Which part of every batch is this device's."""

    rank: int
    devices: int


ALONE = Share(0, 1)


class Supply:
    """Batches by their numbers; this device's part of each."""

    def __init__(self, sources: Sequence[Examples], plan: BatchPlan, collator: Collator, share: Share = ALONE) -> None:
        self._sources = sources
        self._plan = plan
        self._collator = collator
        self._share = share

    def batches(self, first: int) -> Iterator[Batch]:
        """Yield the batches from number `first` on; another thread reads and tokenizes ahead."""
        yield from ahead((self._batch(number) for number in range(first, len(self._plan))), depth=2)

    def _batch(self, number: int) -> Batch:
        choice = self._plan[number]
        source = self._sources[choice.source]
        mine = choice.examples[self._share.rank :: self._share.devices]
        return self._collator(number, [source[int(place)] for place in mine])
