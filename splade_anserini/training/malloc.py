"""How this process gets its memory from the system."""

import ctypes
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""Parameters of glibc's mallopt."""


def keep_freed_memory() -> bool:
    """Keep what is freed for what is needed next, instead of giving it back to the system; say whether that is so.

    A training step frees and needs the same large blocks again and again. Given back, each page must be had anew and
    filled with zeros: on a CPU, a third of a step's time.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    settings = ((_MMAP_THRESHOLD, 2**30), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26))
    done = [bool(mallopt(name, value)) for name, value in settings]
    return all(done)
