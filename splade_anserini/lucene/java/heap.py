"""The size of Java's heap: half of the memory that the process may use, or what SPLADE_ANSERINI_HEAP says."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from splade_anserini.errors import InputError, JavaError

HEAP = "SPLADE_ANSERINI_HEAP"

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SMALLEST = 16 * 2**20


def heap_size(environment: Mapping[str, str], memory: int | None = None) -> int:
    """Return the maximum size of Java's heap in bytes.

    `memory` is the memory that the process may use, in bytes; None looks it up. Raises `InputError` when
    SPLADE_ANSERINI_HEAP is not a valid size, `JavaError` when it is larger than the memory.
    """
    memory = memory or memory_limit()
    text = environment.get(HEAP, "").strip()
    if not text:
        return max(memory // 2, _SMALLEST)
    half = f"unset it to use half of the memory ({memory // 2 // 2**20}m)."
    size = re.fullmatch(r"(\d+)([kmgt]?)b?", text.lower())
    if size is None or int(size[1]) * _UNITS[size[2]] < _SMALLEST:
        raise InputError(
            f"{HEAP} is not a valid heap size: {text!r}.",
            expected=f"a number and a unit, at least {_SMALLEST // 2**20}m, for example 512m or 8g",
            do=f"Correct it, or {half}",
        )
    heap = int(size[1]) * _UNITS[size[2]]
    if heap > memory:
        raise JavaError(
            f"{HEAP} is {text}, but this process may use only {memory // 2**20}m of memory.",
            do=f"Set it to a smaller size, or {half}",
        )
    return heap


def memory_limit() -> int:
    """Return the bytes of memory that this process may use: the least of physical memory, cgroup and ulimit."""
    import resource

    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_limits()]
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        limits.append(address_space)
    return min(limits)


def _cgroup_limits(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Yield the memory limits of this process's control group and of its parents, for cgroups v1 and v2."""
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
