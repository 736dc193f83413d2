"""Measurement of the time that single queries take."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Protocol

import numpy as np
import numpy.typing as npt

from splade_anserini.records import ImpactVector

_ROUNDS = 5


class Ranker(Protocol):
    """A searcher that can be timed, such as `ImpactSearcher`."""

    def rankings(
        self, queries: Iterable[tuple[str, ImpactVector]], hits: int, threads: int = 1
    ) -> Iterator[tuple[str, object]]:
        """Yield the id and the ranking of each query, in the order of `queries`, which is consumed lazily."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Measured times of one setting."""

    nanoseconds: npt.NDArray[np.int64]
    """[queries], in the order in which the queries were sent."""
    total: int
    """Nanoseconds from the start of the first query to the end of the last one."""

    @property
    def per_second(self) -> float:
        """Queries per second."""
        return len(self.nanoseconds) / (self.total * 1e-9) if self.total else 0.0


def combined(timings: Sequence[Timing]) -> Timing:
    """Return the times of several rounds of one setting as one `Timing`."""
    if not timings:
        return Timing(np.empty(0, dtype=np.int64), 0)
    return Timing(np.concatenate([timing.nanoseconds for timing in timings]), sum(timing.total for timing in timings))


def sample[T](items: Sequence[T], count: int, seed: int) -> list[T]:
    """Return `count` items in random order; an item is repeated only after all others were drawn as often."""
    generator = random.Random(seed)  # noqa: S311  # not cryptographic
    drawn: list[T] = []
    while len(drawn) < count and items:
        drawn += generator.sample(items, len(items))
    return drawn[:count]


def rounds[T](items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the items in up to five parts of about the same size, none of them empty.

    All settings are timed in each round, so that temporary load on the machine affects all of them alike.
    """
    count = min(_ROUNDS, len(items))
    for part in range(count):
        yield items[part * len(items) // count : (part + 1) * len(items) // count]


def time_calls[T](function: Callable[[T], object], items: Sequence[T]) -> Timing:
    """Time one call of `function` for each item, one after the other."""
    nanoseconds = np.empty(len(items), dtype=np.int64)
    first_start = perf_counter_ns()
    for position, item in enumerate(items):
        start = perf_counter_ns()
        function(item)
        nanoseconds[position] = perf_counter_ns() - start
    return Timing(nanoseconds, perf_counter_ns() - first_start)


def time_search(searcher: Ranker, queries: Sequence[ImpactVector], hits: int, threads: int = 1) -> Timing:
    """Time each query from when the searcher takes it until its ranking is returned.

    With several threads, the time of a query includes its wait for a free thread.
    """
    starts: list[int] = []

    def started_queries() -> Iterator[tuple[str, ImpactVector]]:
        for position, query in enumerate(queries):
            starts.append(perf_counter_ns())
            yield str(position), query

    ends = [perf_counter_ns() for _ in searcher.rankings(started_queries(), hits, threads)]
    nanoseconds = np.array(ends, dtype=np.int64) - np.array(starts, dtype=np.int64)
    return Timing(nanoseconds, ends[-1] - starts[0] if ends else 0)
