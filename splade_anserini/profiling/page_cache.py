"""Whether files lie in memory, and how they leave it, as far as the system lets a user say."""

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any


def evict(directory: Path) -> str | None:
    """Ask the system to forget the files of a directory; return why that cannot be done, None when it was asked.

    What any process has mapped stays: close the index before. How much stayed says `resident_share`.
    """
    if not hasattr(os, "posix_fadvise"):
        return "this system has no posix_fadvise"
    for path in _files(directory):
        handle = os.open(path, os.O_RDONLY)
        try:
            # Pages that are not on disk yet cannot be forgotten.
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            return f"{path.name}: {error.strerror}"
        finally:
            os.close(handle)
    return None


def resident_share(directory: Path) -> float | None:
    """Return the share of the pages of a directory's files that lie in memory; None where the system does not say."""
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (OSError, AttributeError):
        return None
    resident = pages = 0
    for path in _files(directory):
        found = _resident_pages(path, mincore)
        if found is None:
            return None
        resident += sum(byte & 1 for byte in found)
        pages += len(found)
    return resident / pages if pages else None


def _resident_pages(path: Path, mincore: Any) -> bytes | None:
    """Return a byte for each page of a file, whose last bit says whether it lies in memory."""
    size = path.stat().st_size
    # Private and writable, for ctypes gives no address of what cannot be written; nothing is.
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        found = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
        failed = mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(size), found)
        # While the buffer is exported, the map cannot be closed.
        del first
    return None if failed else found.raw


def _files(directory: Path) -> list[Path]:
    return [path for path in sorted(directory.iterdir()) if path.is_file() and path.stat().st_size]
