"""What can be timed of an index and its queries: setting after setting, warm and cold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from splade_anserini.lucene import ImpactSearcher
from splade_anserini.profiling.latency import Timing, drawn, joined, rounds, time_each, time_search
from splade_anserini.profiling.page_cache import evict, resident_share
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactVector

type Cache = Literal["warm", "cold"]

_NOWHERE: ImpactVector = {"no token": 1}
"""Found nowhere, for tokens hold no space."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is timed, and how often."""

    hits: tuple[int, ...] = (10, 100, 1000)
    threads: int = 1
    """The most; each power of two below is timed as well."""
    samples: int = 1000
    """Timed queries of each setting. Topics that are fewer come again."""
    warm_up: int = 200
    """Queries of each setting before any is timed."""
    seed: int = 0
    """Of the order of the queries."""
    cold: bool = True

    def ladder(self) -> list[int]:
        """Return 1, 2, 4 … and the most threads."""
        return sorted({1 << power for power in range(self.threads.bit_length())} | {self.threads})


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of one setting."""

    threads: int
    timing: Timing
    hits: int | None = None
    """None for encoding."""
    cache: Cache = "warm"


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Whether the index really lay on disk alone."""

    skipped: str | None
    """Why nothing was timed."""
    resident: float | None = None
    """The greatest share of the index that stayed in memory all the same; None when the system does not say."""


def encoding_times(
    encoders: Mapping[int, Callable[[str], object]], texts: Sequence[str], plan: Plan, progress: Progress = silent
) -> list[Measured]:
    """Time each encoder, by its threads, on one text at a time."""
    rows = []
    for threads, encode in encoders.items():
        time_each(drawn(texts, plan.warm_up, plan.seed + 1), encode)
        rows.append(Measured(threads, time_each(drawn(texts, plan.samples, plan.seed), encode)))
        progress(1)
    return rows


def search_times(
    index: Path, queries: Mapping[str, ImpactVector], plan: Plan, progress: Progress = silent
) -> tuple[list[Measured], ColdStart]:
    """Time all settings with the index in memory, then one thread with the index on disk."""
    vectors = list(queries.values())
    settings = [(threads, hits) for threads in plan.ladder() for hits in plan.hits]
    parts: dict[tuple[int, int], list[Timing]] = {setting: [] for setting in settings}
    with ImpactSearcher(index) as searcher:
        # All settings run the same code in Java: what the first would compile and read, the others would find done.
        for threads, hits in settings:
            time_search(searcher, drawn(vectors, plan.warm_up, plan.seed + 1), hits, threads)
        for part in rounds(drawn(vectors, plan.samples, plan.seed)):
            for threads, hits in settings:
                parts[threads, hits].append(time_search(searcher, part, hits, threads))
    rows = [Measured(threads, joined(parts[threads, hits]), hits) for threads, hits in settings]
    progress(len(settings))
    if not plan.cold:
        return rows, ColdStart("it was not asked for")
    shares: list[float | None] = []
    for row, share in _cold(index, vectors, plan):
        if isinstance(row, str):
            return rows, ColdStart(row)
        rows.append(row)
        shares.append(share)
        progress(1)
    known = [share for share in shares if share is not None]
    return rows, ColdStart(None, max(known, default=None))


def _cold(index: Path, vectors: Sequence[ImpactVector], plan: Plan) -> Iterator[tuple[Measured | str, float | None]]:
    """Yield times and how much of the index had stayed in memory; or why there are no times."""
    for hits in plan.hits:
        problem = evict(index)
        if problem:
            yield problem, None
            return
        share = resident_share(index)
        with ImpactSearcher(index) as searcher:
            # What is made once for a searcher is no matter of the disk.
            searcher.rank(_NOWHERE, hits)
            once = drawn(vectors, min(plan.samples, len(vectors)), plan.seed)
            yield Measured(1, time_search(searcher, once, hits), hits, "cold"), share
