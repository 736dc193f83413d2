"""Progress of long work: the library calls back and draws nothing; commands show a bar."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock

type Progress = Callable[[int], object]
"""Called with the number of items that were just done."""

type ProgressBars = Callable[[str, int | None, str], AbstractContextManager[Progress]]
"""Opens the progress of one phase of the work: its title, how many items there are if that is known, and their name."""


def silent(_: int) -> None:
    """Ignore the progress."""


@contextmanager
def no_bars(_title: str, _total: int | None, _unit: str) -> Iterator[Progress]:
    """Ignore the progress of a phase."""
    yield silent


def thread_safe(progress: Progress) -> Progress:
    """Return a function that calls `progress` from one thread at a time."""
    lock = Lock()

    def report(count: int) -> None:
        with lock:
            progress(count)

    return report
