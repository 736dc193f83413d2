"""How long encoding will still take, measured on the shards that are encoded."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from splade_anserini.progress import Progress, ProgressBars


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """An estimate of the time that encoding still takes."""

    documents: int
    """Documents that are encoded."""
    total: int
    seconds: float
    """For the other documents, at the speed so far."""


class EncodingTimer:
    """A progress callback that estimates the time left: after the first shard, and again after each tenth of a corpus.

    The speed is measured from its creation on; or, if the first `reused` documents were encoded by an earlier command,
    from the last of these on.
    """

    def __init__(
        self,
        total: int,
        docs_per_shard: int,
        report: Callable[[TimeLeft], object],
        *,
        reused: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._reused, self._report, self._clock = total, reused, report, clock
        self._documents = 0
        self._start = clock()
        self._interval = max(docs_per_shard, total // 10)
        self._next_report = reused + docs_per_shard

    def __call__(self, count: int) -> None:
        """Add `count` documents."""
        self._documents += count
        if self._documents <= self._reused:
            self._start = self._clock()
        elif self._next_report <= self._documents < self._total:
            self._next_report = self._documents + self._interval
            speed = (self._documents - self._reused) / max(self._clock() - self._start, 1e-9)
            self._report(TimeLeft(self._documents, self._total, (self._total - self._documents) / speed))


def with_time_left(
    bars: ProgressBars, docs_per_shard: int, report: Callable[[TimeLeft], object], reused: int
) -> ProgressBars:
    """Return progress bars for `encode` that also report the time left, as `EncodingTimer` does."""

    @contextmanager
    def timed_bars(title: str, total: int | None, unit: str) -> Iterator[Progress]:
        with bars(title, total, unit) as progress:
            if total is None:  # the corpus is checked before it is encoded
                yield progress
                return
            timer = EncodingTimer(total, docs_per_shard, report, reused=reused)

            def advance(count: int) -> None:
                progress(count)
                timer(count)

            yield advance

    return timed_bars
