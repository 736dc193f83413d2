"""Threads that take waiting work in batches, with a queue that does not grow."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from splade_anserini.serving.errors import overloaded

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work[I, O]:
    item: I
    future: "asyncio.Future[O]"
    loop: asyncio.AbstractEventLoop
    since: float = field(default_factory=time.perf_counter)


class Batcher[I, O]:
    """Runs a function on batches of items in its own threads; requests wait for their results in the event loop.

    `run` gets at most `size` items and returns a result for each. A batch that fails is run again item by item, so
    that each error reaches the request that caused it. Items that nobody waits for any more are left out.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[I]], Sequence[O]],
        *,
        size: int,
        threads: int = 1,
        limit: int,
        waited: Callable[[float], None],
    ) -> None:
        self._run, self._size, self._limit, self._waited = run, size, limit, waited
        self._queue: SimpleQueue[_Work[I, O] | None] = SimpleQueue()
        self._running: dict[int, float] = {}
        """Thread → since when it runs a batch."""
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """The number of items in the queue."""
        return self._queue.qsize()

    @property
    def running_for(self) -> float:
        """The seconds that the longest of the running batches has taken so far."""
        return max((time.perf_counter() - since for since in list(self._running.values())), default=0.0)

    async def submit(self, item: I, *, in_any_case: bool = False) -> O:
        """Return the result of an item. Raises `RequestError` (503) when too many are waiting, unless `in_any_case`."""
        if not in_any_case and self._queue.qsize() >= self._limit:
            raise overloaded()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[O] = loop.create_future()
        self._queue.put(_Work(item, future, loop))
        return await future

    def close(self) -> None:
        """Finish what is waiting, and end the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            batch = self._next_batch()
            if batch is None:
                return
            if live := [work for work in batch if not work.future.cancelled()]:
                now = time.perf_counter()
                for work in live:
                    self._waited(now - work.since)
                thread = threading.get_ident()
                self._running[thread] = now
                results = self._results([work.item for work in live])
                self._running.pop(thread)
                try:
                    live[0].loop.call_soon_threadsafe(_deliver, live, results)
                except RuntimeError:  # the loop was closed, and nobody waits
                    _log.debug("A result came after the end of the event loop.")

    def _next_batch(self) -> "list[_Work[I, O]] | None":
        """Wait for work and take what is there; None at the end."""
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        try:
            while len(batch) < self._size:
                work = self._queue.get_nowait()
                if work is None:
                    self._queue.put(None)
                    break
                batch.append(work)
        except Empty:
            pass
        return batch

    def _results(self, items: Sequence[I]) -> "Sequence[O | Exception]":
        try:
            return self._run(items)
        except Exception as error:  # it is raised where the result is awaited
            if len(items) == 1:
                return [error]
        return [self._results([item])[0] for item in items]


def _deliver(batch: "Sequence[_Work[Any, Any]]", results: Sequence[Any]) -> None:
    for work, result in zip(batch, results, strict=True):
        if work.future.done():
            continue
        if isinstance(result, Exception):
            work.future.set_exception(result)
        else:
            work.future.set_result(result)
