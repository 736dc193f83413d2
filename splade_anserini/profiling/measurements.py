"""Times of encoding and searching for each number of threads and hits, with a warm and with a cold page cache."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from splade_anserini.lucene import ImpactSearcher
from splade_anserini.profiling.latency import Timing, combined, rounds, sample, time_calls, time_search
from splade_anserini.profiling.page_cache import evict, resident_share
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactVector

type Cache = Literal["warm", "cold"]

_NO_MATCH: ImpactVector = {"no token": 1}
"""A query that matches no document, because no token contains a space."""


@dataclass(frozen=True, slots=True)
class TimingPlan:
    """The settings that are timed, and the number of queries."""

    hits: tuple[int, ...] = (10, 100, 1000)
    threads: int = 1
    """Greatest number of threads; each smaller power of two is timed too."""
    samples: int = 1000
    """Timed queries of each setting; fewer topics are repeated."""
    warm_up: int = 200
    """Untimed queries of each setting before any is timed."""
    seed: int = 0
    """Seed of the order of the queries."""
    cold: bool = True

    def thread_counts(self) -> list[int]:
        """Return the numbers of threads that are timed: 1, 2, 4 … and `threads`."""
        return sorted({1 << power for power in range(self.threads.bit_length())} | {self.threads})


@dataclass(frozen=True, slots=True)
class Measurement:
    """Times of one setting."""

    threads: int
    timing: Timing
    hits: int | None = None
    """None for encoding."""
    cache: Cache = "warm"


@dataclass(frozen=True, slots=True)
class ColdCache:
    """Whether searches with a cold page cache were timed, and how cold it was."""

    skipped: str | None
    """Why nothing was timed; None when it was."""
    resident: float | None = None
    """Greatest share of the index that stayed cached; None when the system does not tell."""


def encoding_times(
    encoders: Mapping[int, Callable[[str], object]],
    texts: Sequence[str],
    plan: TimingPlan,
    progress: Progress = silent,
) -> list[Measurement]:
    """Time the encoder of each number of threads, one text at a time."""
    measurements = []
    for threads, encode in encoders.items():
        time_calls(encode, sample(texts, plan.warm_up, plan.seed + 1))
        measurements.append(Measurement(threads, time_calls(encode, sample(texts, plan.samples, plan.seed))))
        progress(1)
    return measurements


def search_times(
    index: Path, queries: Mapping[str, ImpactVector], plan: TimingPlan, progress: Progress = silent
) -> tuple[list[Measurement], ColdCache]:
    """Time all settings with a cached index, then one thread with an index that is on disk only."""
    vectors = list(queries.values())
    measurements = _warm_times(index, vectors, plan)
    progress(len(measurements))
    if not plan.cold:
        return measurements, ColdCache("not requested")
    shares: list[float | None] = []
    for measurement, share in _cold_times(index, vectors, plan):
        if isinstance(measurement, str):
            return measurements, ColdCache(skipped=measurement)
        measurements.append(measurement)
        shares.append(share)
        progress(1)
    return measurements, ColdCache(None, max((share for share in shares if share is not None), default=None))


def _warm_times(index: Path, vectors: Sequence[ImpactVector], plan: TimingPlan) -> list[Measurement]:
    settings = [(threads, hits) for threads in plan.thread_counts() for hits in plan.hits]
    timings: dict[tuple[int, int], list[Timing]] = {setting: [] for setting in settings}
    with ImpactSearcher(index) as searcher:
        # All settings run the same Java code, so all are warmed up before the first is timed.
        for threads, hits in settings:
            time_search(searcher, sample(vectors, plan.warm_up, plan.seed + 1), hits, threads)
        for part in rounds(sample(vectors, plan.samples, plan.seed)):
            for threads, hits in settings:
                timings[threads, hits].append(time_search(searcher, part, hits, threads))
    return [Measurement(threads, combined(timings[threads, hits]), hits) for threads, hits in settings]


def _cold_times(
    index: Path, vectors: Sequence[ImpactVector], plan: TimingPlan
) -> Iterator[tuple[Measurement | str, float | None]]:
    """Yield times and the share of the index that stayed cached, or the reason why nothing can be timed."""
    for hits in plan.hits:
        problem = evict(index)
        if problem:
            yield problem, None
            return
        share = resident_share(index)
        with ImpactSearcher(index) as searcher:
            # The first search of a searcher prepares it, which takes time whatever the cache.
            searcher.rank(_NO_MATCH, hits)
            once = sample(vectors, min(plan.samples, len(vectors)), plan.seed)
            yield Measurement(1, time_search(searcher, once, hits), hits, "cold"), share
