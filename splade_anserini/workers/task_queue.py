"""The queue of tasks in the driver: workers that die are replaced, and results come in the order of the tasks."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from splade_anserini.errors import MismatchError, WorkerError, counted
from splade_anserini.parallel import prefetch
from splade_anserini.progress import Progress, silent
from splade_anserini.workers.protocol import Backend, Died, Event, Failed, Finished, Logged, Progressed, Ready

POLL = 1.0
"""Seconds after which the backend is asked again, so that no wait is without an end."""

WINDOW = 3
"""Tasks for each worker, from the oldest that is not done, that may be read, running or done."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job[Task]:
    """A task, and what became of it so far."""

    index: int
    name: str
    task: Task
    deaths: int = 0
    done_items: int = 0
    """Items that the present worker has done."""
    reported: int = 0
    """Items that were reported as progress: those of a worker that died are not reported twice."""


class TaskQueue[Info, Task, Result]:
    """A context manager that runs tasks on the workers of a backend, and ends these when the block ends.

    A task stays here until its result is here. If its worker dies, another one gets it; after `backend.attempts` of
    them that is a `WorkerError`. An error that a worker raises is raised here. Workers are started when there are tasks
    for them.
    """

    def __init__(self, backend: Backend, noun: str = "task") -> None:
        self._backend = backend
        self._noun = noun
        self._info: Info | None = None
        self._starting: set[int] = set()
        self._idle: list[int] = []
        self._busy: dict[int, _Job[Task]] = {}
        self._ready: deque[_Job[Task]] = deque()
        self._results: dict[int, Result] = {}
        self._failed_starts = 0
        self._said: set[str] = set()
        self._progress: Progress = silent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        self._backend.close()

    @property
    def info(self) -> Info:
        """What the workers say about themselves; the first one is started for it."""
        while self._info is None:
            if not self._starting:
                self._start(1)
            self._handle_events()
        return self._info

    @property
    def workers(self) -> int:
        """How many workers there are at most."""
        return self._backend.slots

    def run(self, tasks: Iterable[tuple[str, Task]], progress: Progress = silent) -> Iterator[Result]:
        """Run tasks, each with its name for messages; yield their results in order.

        Tasks are drawn as workers need them. At any time at most `WINDOW` tasks and results for each worker are held.
        """
        self._progress = progress
        drawn = emitted = 0
        with closing(prefetch(tasks)) as source:
            more = True
            while True:
                while emitted in self._results:
                    yield self._results.pop(emitted)
                    emitted += 1
                while more and self._has_room(drawn - emitted):
                    item = next(source, None)
                    if item is None:
                        more = False
                        break
                    self._ready.append(_Job(drawn, *item))
                    drawn += 1
                    self._assign()
                if not more and emitted == drawn:
                    return
                self._assign()
                self._handle_events()

    def _has_room(self, held: int) -> bool:
        slots = self._backend.slots
        return len(self._ready) < slots - len(self._busy) and held < WINDOW * slots

    def _assign(self) -> None:
        """Give tasks to the workers that wait, and start workers for the others."""
        while self._ready and self._idle:
            slot, job = self._idle.pop(0), self._ready.popleft()
            job.done_items = 0
            self._busy[slot] = job
            self._backend.send(slot, job.task)
        self._start(len(self._ready) - len(self._starting))

    def _start(self, count: int) -> None:
        taken = self._starting | {*self._idle} | self._busy.keys()
        free = [slot for slot in range(self._backend.slots) if slot not in taken]
        for slot in free[: max(0, count)]:
            self._starting.add(slot)
            self._backend.start(slot)

    def _handle_events(self) -> None:
        for event in self._backend.events(POLL):
            self._handle(event)

    def _handle(self, event: Event) -> None:
        match event:
            case Ready(slot, info):
                self._check(info)
                self._starting.discard(slot)
                self._failed_starts = 0
                self._idle.append(slot)
            case Progressed(slot, count):
                if job := self._busy.get(slot):
                    self._report(job, count)
            case Finished(slot, result):
                self._results[self._busy.pop(slot).index] = result
                self._idle.append(slot)
            case Failed(_, error):
                raise error
            case Died(slot, reason):
                self._replace(slot, reason)
            case Logged(logger, level, message):
                # All workers notice the same.
                if message not in self._said:
                    self._said.add(message)
                    logging.getLogger(logger).log(level, "%s", message)

    def _check(self, info: Info) -> None:
        if self._info is None:
            self._info = info
        elif self._info != info:
            raise MismatchError(
                f"Workers differ: {info} is not {self._info}.",
                expected="the same encoder and version on all nodes",
                do="Copy the encoder again, or name it by a path that is the same on all nodes.",
            )

    def _report(self, job: "_Job[Task]", count: int) -> None:
        job.done_items += count
        if (new := job.done_items - job.reported) > 0:
            job.reported += new
            self._progress(new)

    def _replace(self, slot: int, reason: str) -> None:
        """Put the task of a worker that died back into the queue, at its front; `_assign` starts another worker."""
        attempts = self._backend.attempts
        self._starting.discard(slot)
        if slot in self._idle:
            self._idle.remove(slot)
            _log.warning("A worker %s while it waited; another one takes its place.", reason)
            return
        job = self._busy.pop(slot, None)
        if job is None:
            self._failed_starts += 1
            deaths, when = self._failed_starts, "before it was ready"
        else:
            job.deaths += 1
            deaths, when = job.deaths, f"during {job.name}"
            self._ready.appendleft(job)
        if deaths >= attempts:
            times = f", as did {counted(deaths - 1, 'other')} before it" if deaths > 1 else ""
            raise WorkerError(f"A worker {reason} {when}{times}.", do=self._backend.advice)
        _log.warning("A worker %s %s; another one takes its %s.", reason, when, self._noun if job else "place")
