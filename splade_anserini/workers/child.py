"""The main function of a worker process: it reads a recipe, then tasks, from a pipe, and writes what it has done."""

import logging
import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from splade_anserini.errors import NOTE, WorkerError
from splade_anserini.workers.protocol import Event, Failed, Finished, Logged, Progressed, Ready

INTERVAL = 0.2
"""Seconds between two reports of progress."""

_UNKNOWN = -1
"""Instead of the slot, which the driver knows."""


def main(handle: int) -> None:
    """Do what is sent through the pipe with this file descriptor, until it is closed; then the process ends at once."""
    connection: Connection[Any, Any] = Connection(handle)
    received: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, received), daemon=True).start()
    lock = threading.Lock()

    def report(event: Event) -> None:
        with lock:
            connection.send(event)

    forward_logs(report)
    try:
        worker = loaded(received.get())()
        report(Ready(_UNKNOWN, worker.info))
        while True:
            progress = Reporter(lambda count: report(Progressed(_UNKNOWN, count)))
            result = worker.run(loaded(received.get()), progress)
            progress.flush()
            report(Finished(_UNKNOWN, result))
    except BrokenPipeError:
        os._exit(1)
    except BaseException as error:  # raised again in the driver
        report(Failed(_UNKNOWN, portable(error)))
        threading.Event().wait()


def _receive(connection: "Connection[Any, Any]", received: "SimpleQueue[Any]") -> None:
    """Read messages; when the driver is gone, end the process, whatever it does."""
    try:
        while True:
            received.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def loaded(message: bytes) -> Any:
    """Return what was pickled."""
    return pickle.loads(message)  # noqa: S301  # from the driver


class Reporter:
    """A `Progress` that adds up what it is called with, and reports it a few times a second."""

    def __init__(self, report: Callable[[int], object]) -> None:
        self._report = report
        self._count = 0
        self._last = time.monotonic()

    def __call__(self, count: int) -> None:
        """Add to the count."""
        self._count += count
        now = time.monotonic()
        if now - self._last >= INTERVAL:
            self._last = now
            self.flush()

    def flush(self) -> None:
        """Report what was not reported yet."""
        if self._count:
            self._report(self._count)
        self._count = 0


def portable(error: BaseException) -> BaseException:
    """Return an error that can be sent to the driver: itself, or one with its text."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    except Exception:
        return WorkerError(f"A worker failed: {''.join(traceback.format_exception(error))}")
    error.add_note(f"In a worker:\n{''.join(traceback.format_exception(error))}")
    return error


class _Forwarding(logging.Handler):
    def __init__(self, report: Callable[[Event], object]) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report(Logged(record.name, record.levelno, record.getMessage()))


def forward_logs(report: Callable[[Event], object]) -> None:
    """Report what this package logs, instead of writing it to stderr."""
    logger = logging.getLogger("splade_anserini")
    logger.addHandler(_Forwarding(report))
    logger.setLevel(NOTE)
    # Without a handler at the root, Python prints the warnings of every library.
    logging.getLogger().addHandler(logging.NullHandler())
