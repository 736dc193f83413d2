"""Number of processors, and generators that threads draw from."""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from queue import Empty, SimpleQueue
from threading import Event, Semaphore, Thread


def cpu_count() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prefetch[T](items: Iterable[T], depth: int = 1) -> Generator[T]:
    """Yield `items` in order, which a thread of its own draws, up to `depth` of them before they are asked for.

    What drawing raises is raised here, after the items before it. When this generator ends or is closed, the thread
    has ended too, and `items`, where it is a generator, is closed.
    """
    ready: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    free_slots, stopped = Semaphore(depth), Event()
    thread = Thread(
        target=_draw, args=(items, ready, free_slots, stopped), name="splade-anserini-prefetch", daemon=True
    )
    thread.start()
    try:
        while isinstance(result := ready.get(), tuple):
            free_slots.release()
            yield result[0]
        if result is not None:
            raise result
    finally:
        stopped.set()
        free_slots.release()
        thread.join()


def _draw[T](
    items: Iterable[T], ready: "SimpleQueue[tuple[T] | BaseException | None]", free_slots: Semaphore, stopped: Event
) -> None:
    """Put each item, as a tuple of one, then what ended them: an exception, or None."""
    end: BaseException | None = None
    source = iter(items)
    try:
        try:
            while free_slots.acquire() and not stopped.is_set():
                ready.put((next(source),))
        finally:
            if isinstance(source, Generator):
                source.close()
    except StopIteration:
        pass
    except BaseException as error:  # raised again in the thread that waits
        end = error
    ready.put(end)


def drawn_in_threads[T](sources: Sequence[Generator[T]], depth: int) -> Generator[T]:
    """Yield one item of each generator in turn until all are exhausted.

    A thread for each draws up to `depth` items ahead; a single one is drawn from in this thread.
    """
    if len(sources) == 1:
        return sources[0]
    return _round_robin([prefetch(source, depth) for source in sources])


def _round_robin[T](sources: Sequence[Generator[T]]) -> Generator[T]:
    """Yield one item from each source in turn until all are exhausted."""
    with ExitStack() as stack:
        for source in sources:
            stack.enter_context(closing(source))
        remaining = deque(sources)
        while remaining:
            source = remaining.popleft()
            for item in source:
                yield item
                remaining.append(source)
                break


def taken_from[T](queue: "SimpleQueue[T]") -> Iterator[T]:
    """Yield the items of a queue that several threads share, until it is empty."""
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return
