"""Load the batches of a run in order, and on each device its part of them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from splade_anserini.errors import InputError, counted
from splade_anserini.formats.examples import Examples
from splade_anserini.parallel import prefetch
from splade_anserini.records import Example
from splade_anserini.training.batch import Batch, Collator
from splade_anserini.training.batch_plan import BatchPlan


class DevicePart(NamedTuple):
    """The part of every batch that this device computes: every `devices`-th example, starting at `rank`."""

    rank: int
    devices: int


SINGLE_DEVICE = DevicePart(0, 1)


class BatchLoader:
    """Reads, collates and prefetches this device's part of the planned batches.

    Raises `InputError` when a source has fewer examples than there are devices.
    """

    def __init__(
        self, sources: Sequence[Examples], plan: BatchPlan, collator: Collator, part: DevicePart = SINGLE_DEVICE
    ) -> None:
        self._sources = sources
        self._plan = plan
        self._collator = collator
        self._part = part
        for source in sources:
            if len(source) < part.devices:
                raise InputError(
                    f"{source.name} has {counted(len(source), 'example')} for {counted(part.devices, 'device')}.",
                    expected="at least one example for each device, because every batch is divided among them",
                    do="Leave this source out, or train on fewer devices.",
                )

    def batches(self, first: int, *, scored: bool = False) -> Iterator[Batch]:
        """Yield the batches from index `first` on; a thread reads and tokenizes two batches ahead.

        With `scored`, raises `InputError` for an example without teacher scores.
        """
        if scored:
            # Usually either all examples of a source have scores or none has: fail before the first batch.
            for source in self._sources:
                _require_scores(source, 0)
        yield from prefetch((self._batch(index, scored=scored) for index in range(first, len(self._plan))), depth=2)

    def _batch(self, batch_index: int, *, scored: bool) -> Batch:
        planned = self._plan[batch_index]
        source = self._sources[planned.source]
        indices = planned.examples[self._part.rank :: self._part.devices].tolist()
        examples = [_require_scores(source, index) if scored else source[index] for index in indices]
        return self._collator(batch_index, examples, planned.source)


def _require_scores(source: Examples, index: int) -> Example:
    example = source[index]
    if example.scores is None:
        raise InputError(
            f"{source.name}, example {index + 1}: it has no teacher scores, but a loss of the recipe needs them.",
            expected="a score for its positive and for each of its negatives",
            do='Run splade-anserini score, or choose a loss that needs no scores, or one with over = "batch".',
        )
    return example
