"""Turns what Java throws into this package's errors, at the seam and only there."""

from collections.abc import Iterator
from contextlib import contextmanager

from splade_anserini.errors import JavaError, OutputError, SpladeAnseriniError

_OUT_OF_MEMORY = ("OutOfMemoryError", "GC overhead limit", "unable to create native thread")
_DISK_FULL = ("No space left on device", "Disk quota exceeded")


@contextmanager
def java_errors(doing: str) -> Iterator[None]:
    """Map a Java exception in the block; `doing` completes "Java failed while …"."""
    from jnius import JavaException

    try:
        yield
    except JavaException as error:
        raise explained(doing, f"{error.classname}: {error.innermessage}", str(error)) from error


def explained(doing: str, message: str, details: str = "") -> SpladeAnseriniError:
    """Return the error for a failure in Java; the cause is looked for in `message` and `details` (a log, a trace)."""
    text = f"{message}\n{details}"
    if any(sign in text for sign in _OUT_OF_MEMORY):
        return JavaError(
            f"Java ran out of memory while {doing}.",
            do="Set SPLADE_ANSERINI_HEAP to more, for example 8g, or use fewer threads.",
        )
    if disk_full(text):
        return OutputError(
            f"The disk was full while {doing}.",
            do="Free some space, or choose another place, and run the same command again.",
        )
    return JavaError(
        f"Java failed while {doing}: {message}",
        do="If it may have lacked memory, set SPLADE_ANSERINI_HEAP to more, for example 8g. "
        "SPLADE_ANSERINI_LOG=DEBUG shows what Java wrote.",
    )


def disk_full(text: str) -> bool:
    """Say whether Java complained in `text` (a message, a log) that a disk is full."""
    return any(sign in text for sign in _DISK_FULL)
