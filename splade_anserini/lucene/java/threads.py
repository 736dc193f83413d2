"""Threads of Java that work for one thread of Python.

pyjnius keeps the object that a method is called on in the method itself, which all objects of a class share: two
threads of Python that call the same method of two objects may both call it on one of them. Python's threads therefore
take `JAVA_LOCK` in turn, and what should run in parallel runs on threads of Java, which Python starts and waits for.
"""

import threading
import time
from typing import Any, Self

from splade_anserini.lucene.java.forks import has_own_java, require_own_java


class JavaLock:
    """A lock that its thread may take again. Taking it in a process that Java does not run in is a `JavaError`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        # Before the lock is taken: another thread may have held it at the moment of the fork.
        require_own_java()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


JAVA_LOCK = JavaLock()
"""Held around every use of pyjnius in code that several threads may run."""


class JavaThreads:
    """A pool of a fixed number of Java threads that run tasks."""

    def __init__(self, threads: int) -> None:
        from jnius import autoclass

        self._pool = autoclass("java.util.concurrent.Executors").newFixedThreadPool(threads)

    def start(self, task: Any) -> Any:
        """Submit a `Callable`; return Java's Future of it."""
        return self._pool.submit(task)

    def call(self, task: Any) -> None:
        """Run a `Callable` and wait until it is done. The wait may take minutes; Ctrl-C interrupts it."""
        future, pause = self.start(task), 0.001
        while not future.isDone():
            time.sleep(pause)
            pause = min(2 * pause, 0.1)
        future.get()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let the threads end after the tasks that were submitted."""
        if has_own_java():
            self._pool.shutdown()
