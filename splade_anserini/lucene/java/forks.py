"""Java in forked processes: it does not run there, and a call to it would wait for ever.

A fork copies one thread, the one that forks. Java needs its own threads, which stay behind in the process that started
it. Calls are therefore refused in every other process.
"""

import ctypes
import gc
import os
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from splade_anserini.errors import JavaError

_process: int | None = None
"""The process in which Java runs; None before it is known to run."""


def remember_java() -> None:
    """Remember that Java runs in this process, or in the one that this one was forked from."""
    global _process  # noqa: PLW0603  # there is one Java in a process
    if _process is None:
        _process = os.getpid() if _has_java_threads() else os.getppid()
        _register()


def has_own_java() -> bool:
    """Return whether calls to Java are possible: False in a process that was forked after Java was started."""
    return _process is None or _process == os.getpid()


def require_own_java() -> None:
    """Raise `JavaError` in a process that was forked after Java was started."""
    if not has_own_java():
        _refuse()


def _refuse(*_: object, **__: object) -> NoReturn:
    raise JavaError(
        f"Java was started in process {_process} before process {os.getpid()} was forked from it, and does not run in "
        "a forked process.",
        do="Open indexes after the fork, in each process that searches (in servers: without --preload), or start the "
        'processes with multiprocessing.get_context("spawn"). Encoders alone may be opened before.',
    )


@cache
def _register() -> None:
    os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    """Refuse pyjnius's ways into Java, and keep Java's objects: to free them is a call to Java as well."""
    if has_own_java():
        return
    import jnius
    from jnius import reflect

    for obj in gc.get_objects():
        if isinstance(obj, jnius.JavaClass):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(obj))
    for module, name in [(jnius, "autoclass"), (jnius, "cast"), (jnius, "find_javaclass"), (reflect, "autoclass")]:
        setattr(module, name, _refuse)
    jnius.detach = _detach_nothing


def _detach_nothing() -> None:
    """Replace pyjnius's function that detaches a thread from Java."""


def _has_java_threads() -> bool:
    """Return whether Java's own threads are in this process; True where the system does not say."""
    names: list[Any] = [*Path("/proc/self/task").glob("*/comm")]
    return not names or any(_text(name).startswith("VM Thread") for name in names)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # the thread has ended
        return ""
