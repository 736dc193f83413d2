"""Workers that are processes of this machine, each with a pipe to the driver.

They are started anew, not forked: models, CUDA and Java do not survive a fork. They end when the driver does, however
it ends, because their pipe is closed then.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from splade_anserini.workers.protocol import Died, Event, Recipe

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from splade_anserini.workers.child import main; main(int(sys.argv[1]))"
)

_PATIENCE = 5.0
"""Seconds that a process has to end once its pipe is closed."""

ATTEMPTS = 2
"""The kernel ends a process once by chance; the second time it is likely to be the task."""


@dataclass(slots=True)
class _Process:
    process: "subprocess.Popen[bytes]"
    connection: "Connection[Any, Any]"


@dataclass(slots=True)
class ProcessBackend:
    """One process for each recipe.

    They get `environment` in addition to that of the driver, and are in process groups of their own, so that Ctrl-C
    reaches the driver only.
    """

    recipes: Sequence[Recipe[Any, Any, Any]]
    environment: Mapping[str, str] = field(default_factory=dict)
    attempts: int = ATTEMPTS
    advice: str = "If it was the kernel, for want of memory: use fewer --workers. Run the same command again to resume."
    _running: dict[int, _Process] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """How many processes there may be."""
        return len(self.recipes)

    def pids(self) -> dict[int, int]:
        """Return slot → process id of the processes that were started."""
        return {slot: running.process.pid for slot, running in self._running.items()}

    def start(self, slot: int) -> None:
        """Start a process, and send it its recipe."""
        ours, theirs = Pipe()
        with theirs:
            handle = theirs.fileno()
            process = subprocess.Popen(  # noqa: S603  # this Python
                [sys.executable, "-c", _PROGRAM, str(handle), json.dumps(sys.path)],
                pass_fds=[handle],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**self.environment, **os.environ},
                process_group=0,
            )
        self._running[slot] = _Process(process, ours)
        self.send(slot, self.recipes[slot])

    def send(self, slot: int, task: Any) -> None:
        """Send a task. That a process is dead is reported by `events`."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._running[slot].connection.send(task)

    def events(self, timeout: float) -> list[Event]:
        """Return what processes have sent, one event of each; one that has ended has died."""
        slots = {running.connection: slot for slot, running in self._running.items()}
        return [self._received(slots[ready]) for ready in wait(list(slots), timeout) if isinstance(ready, Connection)]

    def _received(self, slot: int) -> Event:
        try:
            event: Event = self._running[slot].connection.recv()
        except (EOFError, ConnectionResetError):
            return Died(slot, _ended(self._end(slot)))
        if hasattr(event, "slot"):
            # A process does not know its slot.
            object.__setattr__(event, "slot", slot)
        return event

    def close(self) -> None:
        """End all processes, also those that are working."""
        for running in self._running.values():
            running.connection.close()
        for slot in list(self._running):
            self._end(slot)

    def _end(self, slot: int) -> int:
        """Wait until a process has ended, as it does when its pipe is closed; return its exit code."""
        running = self._running.pop(slot)
        running.connection.close()
        try:
            return running.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            running.process.kill()
            return running.process.wait()


def _ended(code: int) -> str:
    if code < 0:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"
