"""How long single queries take, by the clock."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Protocol

import numpy as np
import numpy.typing as npt

from splade_anserini.records import ImpactVector

_ROUNDS = 5


class Ranks(Protocol):
    """What is timed: `ImpactSearcher`, and whatever answers as it does."""

    def rankings(
        self, queries: Iterable[tuple[str, ImpactVector]], hits: int, threads: int = 1
    ) -> Iterator[tuple[str, object]]:
        """Yield each query's id and ranking, in the order of `queries`, which is read as it goes."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured of one setting."""

    nanoseconds: npt.NDArray[np.int64]
    """[queries], in the order in which they were asked."""
    whole: int
    """Nanoseconds from the first question to the last answer."""

    @property
    def per_second(self) -> float:
        """Queries a second."""
        return len(self.nanoseconds) / (self.whole * 1e-9) if self.whole else 0.0


def joined(timings: Sequence[Timing]) -> Timing:
    """Return what was measured of one setting at several times, as one."""
    return Timing(np.concatenate([timing.nanoseconds for timing in timings]), sum(timing.whole for timing in timings))


def drawn[T](items: Sequence[T], number: int, seed: int) -> list[T]:
    """Return `number` items in random order; none comes again before all others have come as often."""
    chance = random.Random(seed)  # noqa: S311  # an order, no secret
    result: list[T] = []
    while len(result) < number and items:
        result += chance.sample(items, len(items))
    return result[:number]


def rounds[T](items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the items in parts of about the same number, none empty.

    In each, all settings are timed, one after the other: a machine that is slower for a while is so for all of them.
    """
    parts = min(_ROUNDS, len(items))
    for number in range(parts):
        yield items[number * len(items) // parts : (number + 1) * len(items) // parts]


def time_each[T](items: Sequence[T], do: Callable[[T], object]) -> Timing:
    """Time `do` for each item, one after the other."""
    taken = np.empty(len(items), dtype=np.int64)
    begin = perf_counter_ns()
    for place, item in enumerate(items):
        start = perf_counter_ns()
        do(item)
        taken[place] = perf_counter_ns() - start
    return Timing(taken, perf_counter_ns() - begin)


def time_search(searcher: Ranks, queries: Sequence[ImpactVector], hits: int, threads: int = 1) -> Timing:
    """Time each query from when the searcher takes it until its ranking is there.

    With several threads a query's time includes its wait for a free one.
    """
    starts: list[int] = []

    def taken() -> Iterator[tuple[str, ImpactVector]]:
        for place, query in enumerate(queries):
            starts.append(perf_counter_ns())
            yield str(place), query

    ends = [perf_counter_ns() for _ in searcher.rankings(taken(), hits, threads)]
    times = np.array(ends, dtype=np.int64) - np.array(starts, dtype=np.int64)
    return Timing(times, ends[-1] - starts[0] if ends else 0)
