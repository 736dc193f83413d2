"""Java's threads at work for one thread of Python.

pyjnius keeps the object that a method is called on in the method itself, which all objects of a class share: two
threads of Python that call the same method of two objects can hit the same one. So Python's threads take turns, by
`TURN`, and what is to run side by side runs on threads of Java's own, which Python starts and waits for.
"""

import threading
import time
from typing import Any, Self

JAVA_LOCK = threading.RLock()
"""Held around every use of pyjnius that may meet another thread's."""


class JavaThreads:
    """A fixed number of Java threads that run tasks."""

    def __init__(self, threads: int) -> None:
        from jnius import autoclass

        self._pool = autoclass("java.util.concurrent.Executors").newFixedThreadPool(threads)

    def start(self, task: Any) -> Any:
        """Hand a `Callable` to the next thread that is free; return Java's Future of it."""
        return self._pool.submit(task)

    def finish(self, task: Any) -> None:
        """Run a task that may take minutes, and hear Ctrl-C meanwhile."""
        future, pause = self.start(task), 0.001
        while not future.isDone():
            time.sleep(pause)
            pause = min(2 * pause, 0.1)
        future.get()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let the threads end when they have nothing more to do."""
        self._pool.shutdown()
