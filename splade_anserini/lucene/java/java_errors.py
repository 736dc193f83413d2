"""Java exceptions, translated to the errors of this package."""

from collections.abc import Iterator
from contextlib import contextmanager

from splade_anserini.errors import IntegrityError, JavaError, OutputError, SpladeAnseriniError

_OUT_OF_MEMORY = ("OutOfMemoryError", "GC overhead limit", "unable to create native thread")
_DISK_FULL = ("No space left on device", "Disk quota exceeded")


@contextmanager
def java_errors(doing: str) -> Iterator[None]:
    """Translate a Java exception in the block; `doing` completes the message "Java failed while …"."""
    from jnius import JavaException

    try:
        yield
    except JavaException as error:
        raise java_error(doing, f"{error.classname}: {error.innermessage}", str(error)) from error


def java_error(doing: str, message: str, details: str = "") -> SpladeAnseriniError:
    """Return the error for a failure in Java.

    Lack of memory or disk space is recognized in `message` and in `details`, a log or a stack trace.
    """
    text = f"{message}\n{details}"
    if any(phrase in text for phrase in _OUT_OF_MEMORY):
        return JavaError(
            f"Java ran out of memory while {doing}.",
            do="Set SPLADE_ANSERINI_HEAP to a larger size, for example 8g, or use fewer threads.",
        )
    if disk_full(text):
        return OutputError(
            f"The disk was full while {doing}.",
            do="Free some space, or choose another output directory, and run the same command again.",
        )
    if "CorruptIndexException" in text:
        return IntegrityError(
            f"The index is damaged, which Lucene found while {doing}: {message}",
            do="Rebuild it with splade-anserini index --overwrite.",
        )
    return JavaError(
        f"Java failed while {doing}: {message}",
        do="If it may have run out of memory, set SPLADE_ANSERINI_HEAP to a larger size, for example 8g. "
        "SPLADE_ANSERINI_LOG=DEBUG shows Java's own output.",
    )


def disk_full(text: str) -> bool:
    """Return whether a message or log of Java reports a full disk."""
    return any(phrase in text for phrase in _DISK_FULL)
