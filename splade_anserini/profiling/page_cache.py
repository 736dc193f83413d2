"""Removal of files from the operating system's page cache, and the share of them that is cached."""

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any


def evict(directory: Path) -> str | None:
    """Ask the system to drop the files of a directory from its cache; return the reason when it cannot, or None.

    Pages that a process has mapped stay cached, so close the index first; `resident_share` returns what is left.
    """
    if not hasattr(os, "posix_fadvise"):
        return "this system has no posix_fadvise"
    for path in _files(directory):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # Pages that are not on disk yet cannot be dropped.
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            return f"{path.name}: {error.strerror}"
        finally:
            os.close(descriptor)
    return None


def resident_share(directory: Path) -> float | None:
    """Return the share of a directory's pages that are cached, from 0 to 1, or None when the system does not tell."""
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (OSError, AttributeError):
        return None
    resident = pages = 0
    for path in _files(directory):
        residency = _page_residency(path, mincore)
        if residency is None:
            return None
        resident += sum(byte & 1 for byte in residency)
        pages += len(residency)
    return resident / pages if pages else None


def _page_residency(path: Path, mincore: Any) -> bytes | None:
    """Return one byte per page of a file; its lowest bit is set when the page is cached."""
    size = path.stat().st_size
    # ctypes takes the address of writable memory only, so the file is mapped private and writable; nothing is written.
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as mapped:
        first_byte = ctypes.c_char.from_buffer(mapped)
        residency = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
        failed = mincore(ctypes.c_void_p(ctypes.addressof(first_byte)), ctypes.c_size_t(size), residency)
        # The map cannot be closed while its buffer is exported.
        del first_byte
    return None if failed else residency.raw


def _files(directory: Path) -> list[Path]:
    return [path for path in sorted(directory.iterdir()) if path.is_file() and path.stat().st_size]
