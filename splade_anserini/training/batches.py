"""The batches of a run, one after the other, and what a teacher says of them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from splade_anserini.errors import InputError
from splade_anserini.formats.examples import Examples
from splade_anserini.parallel import prefetch
from splade_anserini.records import Example
from splade_anserini.training.batch import Batch, Collator
from splade_anserini.training.batch_plan import BatchPlan


class Share(NamedTuple):
    """Which part of every batch is this device's."""

    rank: int
    devices: int


ALONE = Share(0, 1)


class Supply:
    """Batches by their numbers; this device's part of each.

    Raises `InputError` when a source has too few examples for all devices.
    """

    def __init__(self, sources: Sequence[Examples], plan: BatchPlan, collator: Collator, share: Share = ALONE) -> None:
        self._sources = sources
        self._plan = plan
        self._collator = collator
        self._share = share
        for source in sources:
            if len(source) < share.devices:
                raise InputError(
                    f"{source.name} has fewer examples than there are devices: {len(source)}.",
                    expected=f"{share.devices} or more, for every device is to have a part of each batch",
                    do="Leave it out, or train on fewer devices.",
                )

    def batches(self, first: int, *, scored: bool = False) -> Iterator[Batch]:
        """Yield the batches from number `first` on; another thread reads and tokenizes ahead.

        If they are to be `scored`, raises `InputError` for an example without a teacher's scores.
        """
        if scored:
            # Most often all of a source lacks them: that is to be known at once.
            for source in self._sources:
                _scored(source, 0)
        yield from prefetch((self._batch(number, scored=scored) for number in range(first, len(self._plan))), depth=2)

    def _batch(self, number: int, *, scored: bool) -> Batch:
        choice = self._plan[number]
        source = self._sources[choice.source]
        mine = choice.examples[self._share.rank :: self._share.devices]
        return self._collator(number, [_scored(source, place) if scored else source[place] for place in mine.tolist()])


def _scored(source: Examples, place: int) -> Example:
    example = source[place]
    if example.scores is None:
        raise InputError(
            f"{source.name}, example {place + 1}: it has no teacher's scores, and a loss of the recipe needs them.",
            expected="scores of its positive and of each negative",
            do='Run: splade-anserini score; or choose a loss that learns without them, or one over = "batch".',
        )
    return example
