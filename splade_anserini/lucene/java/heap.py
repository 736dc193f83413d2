"""How much memory Java may use: half of what the process may have, or what SPLADE_ANSERINI_HEAP says."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from splade_anserini.errors import InputError, JavaError

HEAP = "SPLADE_ANSERINI_HEAP"

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SMALLEST = 16 * 2**20


def heap_size(environment: Mapping[str, str], memory: int | None = None) -> int:
    """Return the greatest size of Java's heap in bytes; `memory` is what the process may have, None to look it up.

    Raises `InputError` for a size that is none, `JavaError` for one that is larger than the memory.
    """
    memory = memory or memory_limit()
    wanted = environment.get(HEAP, "").strip()
    if not wanted:
        return max(memory // 2, _SMALLEST)
    size = re.fullmatch(r"(\d+)([kmgt]?)b?", wanted.lower())
    if size is None or int(size[1]) * _UNITS[size[2]] < _SMALLEST:
        raise InputError(
            f"{HEAP} is {wanted!r}, which is no size of a heap.",
            expected=f"a number of at least {_SMALLEST // 2**20} megabytes with a unit, such as 512m or 8g",
            do=f"Correct it, or unset it to use half of the memory ({memory // 2 // 2**20}m).",
        )
    heap = int(size[1]) * _UNITS[size[2]]
    if heap > memory:
        raise JavaError(
            f"{HEAP} is {wanted}, but this process may have only {memory // 2**20}m of memory.",
            do=f"Set it to a smaller size, or unset it to use half of the memory ({memory // 2 // 2**20}m).",
        )
    return heap


def memory_limit() -> int:
    """Return the bytes that this process may have: the least of what machine, control groups and shell allow."""
    import resource

    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_control_groups()]
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        limits.append(address_space)
    return min(limits)


def _control_groups(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Yield the memory limits of this process's control group and of those above it, versions 1 and 2."""
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in {"", "memory"}:
            continue
        top, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        group = top / path.lstrip("/")
        for directory in [group, *group.parents]:
            if not directory.is_relative_to(top):
                break
            try:
                limit = (directory / name).read_text(encoding="ascii").strip()
            except OSError:
                continue
            if limit.isdecimal():
                yield int(limit)
