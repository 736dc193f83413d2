"""Captures what Anserini writes while it works: kept off the terminal, and available for error messages."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_logger = logging.getLogger(__name__)
_capture_lock = threading.RLock()


@contextmanager
def captured_output() -> Iterator[Callable[[], str]]:
    """Yield a function that returns what Java's log4j, System.out and System.err have written in the block so far.

    The output is logged at the level DEBUG when the block ends.
    """
    from jnius import autoclass

    with _capture_lock:
        buffer = autoclass("java.io.ByteArrayOutputStream")()
        try:
            with _standard_streams(buffer), _log4j(buffer):
                yield buffer.toString
        finally:
            for line in buffer.toString().splitlines():
                _logger.debug("anserini: %s", line)


@contextmanager
def _standard_streams(buffer: Any) -> Iterator[None]:
    from jnius import autoclass

    system = autoclass("java.lang.System")
    stream = autoclass("java.io.PrintStream")(buffer, True)
    out, err = system.out, system.err
    system.setOut(stream)
    system.setErr(stream)
    try:
        yield
    finally:
        system.setOut(out)
        system.setErr(err)


@contextmanager
def _log4j(buffer: Any) -> Iterator[None]:
    """Replace the root logger's appenders; the one that Anserini's jar configures writes to standard output."""
    from jnius import autoclass

    loader = autoclass("java.lang.ClassLoader").getSystemClassLoader()
    # Each class loader has its own context: changes to another one's would have no effect.
    context = autoclass("org.apache.logging.log4j.core.LoggerContext").getContext(loader, False, None)
    root = context.getConfiguration().getRootLogger()
    level, appenders = root.getLevel(), root.getAppenders().values().toArray()
    layout = autoclass("org.apache.logging.log4j.core.layout.PatternLayout").newBuilder().withPattern("%p %m%n").build()
    capture = autoclass("org.apache.logging.log4j.core.appender.OutputStreamAppender").createAppender(
        layout, None, buffer, "splade-anserini", False, False
    )
    capture.start()
    for appender in appenders:
        root.removeAppender(appender.getName())
    root.addAppender(capture, None, None)
    try:
        yield
    finally:
        root.removeAppender("splade-anserini")
        for appender in appenders:
            root.addAppender(appender, None, None)
        # Anserini's indexer changes the level of the root logger.
        root.setLevel(level)
        context.updateLoggers()
