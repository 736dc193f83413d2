"""What workers are to the queue of tasks: how they are started, what they are sent, and what they report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from splade_anserini.progress import Progress


class Worker[Info, Task, Result](Protocol):
    """Runs tasks, one after the other, in a process of its own."""

    @property
    def info(self) -> Info:
        """What the driver needs to know about it; it must be the same for all workers."""
        ...

    def run(self, task: Task, progress: Progress) -> Result:
        """Run one task."""
        ...


type Recipe[Info, Task, Result] = Callable[[], Worker[Info, Task, Result]]
"""Makes a worker, in the process in which it will run; it is pickled, as tasks, results and info are."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker was made and waits for tasks."""

    slot: int
    info: Any


@dataclass(frozen=True, slots=True)
class Progressed:
    """A worker has done so many more items of its task."""

    slot: int
    count: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A worker has done its task."""

    slot: int
    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The recipe or the task of a worker raised an error, as it would anywhere."""

    slot: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class Died:
    """A worker ended without an answer; `reason` completes "A worker …"."""

    slot: int
    reason: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A worker has logged a message."""

    logger: str
    level: int
    message: str


type Event = Ready | Progressed | Finished | Failed | Died | Logged


class Backend(Protocol):
    """Starts workers and talks to them. A slot is the place of one worker, from 0; it may be started again."""

    @property
    def slots(self) -> int:
        """How many workers there may be at the same time."""
        ...

    @property
    def attempts(self) -> int:
        """How many workers may die over one task, or before their first, until that is an error."""
        ...

    @property
    def advice(self) -> str:
        """What to do when workers die again and again, as a sentence."""
        ...

    def start(self, slot: int) -> None:
        """Begin to start a worker, which reports `Ready` when it is there."""
        ...

    def send(self, slot: int, task: Any) -> None:
        """Give a task to a worker that has none."""
        ...

    def events(self, timeout: float) -> Sequence[Event]:
        """Wait for what workers report, at most `timeout` seconds, and return it."""
        ...

    def close(self) -> None:
        """End all workers, whatever they do."""
        ...
