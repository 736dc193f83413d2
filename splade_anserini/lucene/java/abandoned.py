"""Closes what Java holds open for Python objects that were freed without being closed, such as the maps of an index.

Python's garbage collector may interrupt any code, also a call to Java, so what it frees must not call Java. It is
closed when a searcher is opened, used or closed next.
"""

import weakref
from collections import deque
from typing import Any

from splade_anserini.lucene.java.forks import has_own_java
from splade_anserini.lucene.java.threads import JAVA_LOCK

_abandoned: deque[Any] = deque()
"""Objects of Java whose owners were freed."""


def close_when_freed(owner: object, resource: Any) -> None:
    """Close `resource`, an object of Java, some time after `owner` is freed, unless the process ends before.

    `close` of these resources may be called several times. `resource` must not refer to `owner`.
    """
    weakref.finalize(owner, _abandoned.append, resource).atexit = False


def close_abandoned() -> None:
    """Close what was abandoned so far; a forked process keeps away from what its parent opened."""
    if not (_abandoned and has_own_java()):
        return
    with JAVA_LOCK:
        while _abandoned:
            _abandoned.popleft().close()
