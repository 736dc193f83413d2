"""Workers that are actors of Ray.

Ray repeats nothing by itself: an actor that dies, with its node or alone, is reported to the queue in the driver, which
starts another. Every wait has an end, and actors for which there is no room are reported.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from logging import WARNING
from typing import Any

from splade_anserini.errors import SpladeAnseriniError, WorkerError, counted, first_line
from splade_anserini.workers.child import forward_logs, portable
from splade_anserini.workers.protocol import Died, Event, Failed, Finished, Logged, Progressed, Ready, Recipe
from splade_anserini.workers.ray_cluster import RayCluster, described, import_ray

PROGRESS_INTERVAL = 2.0
"""Seconds between two questions to an actor how far it is."""

PATIENCE, GIVE_UP = 15.0, 600.0
"""Seconds after which it is said that actors wait for room, and after which it is an error if no actor runs."""

ATTEMPTS = 4
"""More than of processes: nodes die by chance, one after the other when their prices rise."""

_STATUS = "status"


class RemoteWorker:
    """The class of the actors: a worker, and what it has to report."""

    def __init__(self, recipe: Recipe[Any, Any, Any]) -> None:
        self._recipe = recipe
        self._worker: Any = None
        self._reports: list[Event] = []
        self._done = 0
        self._asked = 0
        forward_logs(self._reports.append)

    def place(self) -> None:
        """Return: this actor has a process."""

    def open(self, slot: int) -> list[Event]:
        """Make the worker."""
        try:
            self._worker = self._recipe()
            return [*self._reported(), Ready(slot, self._worker.info)]
        except BaseException as error:  # raised again in the driver
            return [*self._reported(), Failed(slot, _with_node(portable(error)))]

    def run(self, slot: int, task: Any) -> list[Event]:
        """Run a task."""
        self._done = self._asked = 0
        try:
            result = self._worker.run(task, self._count)
            return [*self._reported(), *self.progress(slot), Finished(slot, result)]
        except BaseException as error:  # raised again in the driver
            return [*self._reported(), Failed(slot, portable(error))]

    def progress(self, slot: int) -> list[Event]:
        """Return how many items were done since it was asked last."""
        count = self._done
        new, self._asked = count - self._asked, count
        return [Progressed(slot, new)] if new > 0 else []

    def _count(self, count: int) -> None:
        self._done += count

    def _reported(self) -> list[Event]:
        reports, self._reports[:] = list(self._reports), []
        return reports


@dataclass(slots=True)
class _Actor:
    handle: Any
    since: float
    is_placed: bool = False
    is_busy: bool = False
    asked: float = 0.0
    """When it was asked for its progress."""


@dataclass(slots=True)
class RayBackend:
    """An actor for each slot, with so many CPUs and GPUs each."""

    cluster: RayCluster
    recipe: Recipe[Any, Any, Any]
    slots: int
    cpus: float = 1.0
    gpus: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the actors' processes."""
    attempts: int = ATTEMPTS
    advice: str = "See Ray's dashboard or logs for the reason. Run the same command again to resume."
    _actors: dict[int, _Actor] = field(default_factory=dict)
    _references: dict[Any, int] = field(default_factory=dict)
    """What was asked of actors and is not answered → slot."""
    _warned: float = 0.0

    def start(self, slot: int) -> None:
        """Ask Ray for an actor; it begins when there is room for it."""
        actor_class = self.cluster.ray.remote(
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={_STATUS: 1},
            runtime_env={"env_vars": dict(self.environment)},
        )
        handle = actor_class(RemoteWorker).remote(self.recipe)
        self._actors[slot] = _Actor(handle, time.monotonic())
        self._references[handle.place.remote()] = slot
        self._references[handle.open.remote(slot)] = slot

    def send(self, slot: int, task: Any) -> None:
        """Send a task, through Ray's object store."""
        actor = self._actors[slot]
        actor.is_busy, actor.asked = True, time.monotonic()
        self._references[actor.handle.run.remote(slot, task)] = slot

    def events(self, timeout: float) -> Sequence[Event]:
        """Wait for answers of actors; ask busy ones how far they are."""
        self._ask_for_progress()
        ready, _ = self.cluster.ray.wait(list(self._references), num_returns=1, timeout=timeout)
        answers = [event for reference in ready for event in self._answer(reference)]
        return answers or self._waiting()

    def _ask_for_progress(self) -> None:
        now = time.monotonic()
        for slot, actor in self._actors.items():
            if actor.is_busy and now - actor.asked >= PROGRESS_INTERVAL:
                actor.asked = now
                asked = actor.handle.progress.options(concurrency_group=_STATUS).remote(slot)
                self._references[asked] = slot

    def _answer(self, reference: Any) -> list[Event]:
        ray = self.cluster.ray
        slot = self._references.pop(reference, None)
        if slot is None:
            return []
        actor = self._actors[slot]
        try:
            events: list[Event] | None = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise WorkerError(f"A worker failed: {error}") from error
        except ray.exceptions.RayError as error:  # the actor, its node, or an object on it
            self._remove(slot)
            return [Died(slot, f"was lost ({_reason(error)})")]
        actor.is_placed = True
        if events and isinstance(events[-1], Finished):
            actor.is_busy = False
        if events and isinstance(events[-1], Progressed) and not actor.is_busy:
            return []
        return events or []

    def _remove(self, slot: int) -> None:
        """Forget an actor and what it was asked, and let Ray end it, should it still be there."""
        actor = self._actors.pop(slot)
        self._references = {reference: of for reference, of in self._references.items() if of != slot}
        with suppress(Exception):
            self.cluster.ray.kill(actor.handle)

    def _waiting(self) -> list[Event]:
        """Say, once a minute, that actors wait for room; raise `WorkerError` when that takes too long."""
        now = time.monotonic()
        waiting = [actor for actor in self._actors.values() if not actor.is_placed]
        longest = max((now - actor.since for actor in waiting), default=0.0)
        if longest < PATIENCE or now - self._warned < max(PATIENCE, 60.0):
            return []
        self._warned = now
        needs = described({"CPU": self.cpus, "GPU": self.gpus})
        message = (
            f"{counted(len(waiting), 'worker')} of {self.slots} {'waits' if len(waiting) == 1 else 'wait'} for room "
            f"since {longest:.0f} s: each needs {needs}; the Ray cluster has {self.cluster.describe()}."
        )
        if longest >= GIVE_UP and len(waiting) == len(self._actors):
            raise WorkerError(message, do="Use fewer --workers or a smaller --cpus-per-worker, or add nodes.")
        return [Logged(__name__, WARNING, message)]

    def close(self) -> None:
        """End all actors, whatever they do."""
        for slot in list(self._actors):
            self._remove(slot)


def _with_node(error: BaseException) -> BaseException:
    """Add to the message of an error of ours on which node it was raised: others may lack what this one has."""
    if isinstance(error, SpladeAnseriniError):
        ray = import_ray()
        error.args = (f"{error}\nThat is on the node {ray.util.get_node_ip_address()}.",)
    return error


def _reason(error: Exception) -> str:
    """Return the kind of an error of Ray, and what it says first."""
    return f"{type(error).__name__}: {first_line(error)}"[:300]
