"""How much memory this process can still use: that of the machine, and that of its control groups."""

from collections.abc import Iterator
from pathlib import Path

_UNLIMITED = 1 << 60
"""Limits from here on are none: control groups of version 1 write a number near the greatest integer."""


_processes = 1


def divide(processes: int) -> None:
    """Let `free_memory` return only the share of this process, where so many use memory at the same time."""
    global _processes  # noqa: PLW0603  # a process has one share
    _processes = processes


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process can still use before the kernel ends it; None where that is not known.

    It is what the machine has available or, if that is less, what is left below the limits of the control groups that
    the process is in, versions 1 and 2, each with those that contain it. Files that are cached for a group count as
    free. Only Linux says so. `root` is the directory whose proc/ and sys/ are read.
    """
    candidates = [_available(root), *_left_in_groups(root)]
    known = [max(0, size) for size in candidates if size is not None]
    return min(known) // _processes if known else None


def _available(root: Path) -> int | None:
    """Return what the kernel estimates that new programs can use without swapping."""
    for line in _lines(root / "proc/meminfo"):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _left_in_groups(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        for directory in _groups(root, path, version=2 if not controllers else 1):
            left = _left_v2(directory) if not controllers else _left_v1(directory)
            if left is not None:
                yield left


def _groups(root: Path, path: str, *, version: int) -> Iterator[Path]:
    """Yield the directory of a control group, and those that contain it, up to where the hierarchy is mounted."""
    for line in _lines(root / "proc/self/mountinfo"):
        fields, _, rest = line.partition(" - ")
        _, _, _, mounted, mount_point, *_ = fields.split(" ")
        kind, _, options = rest.split(" ", 2)
        if kind != ("cgroup2" if version == 2 else "cgroup") or (version == 1 and "memory" not in options.split(",")):
            continue
        top = root / mount_point.lstrip("/")
        # In a container, the hierarchy may be mounted from the container's own group on.
        inside = path.removeprefix(mounted) if mounted != "/" and path.startswith(mounted) else path
        directory = top / inside.strip("/")
        while directory != top and top in directory.parents:
            yield directory
            directory = directory.parent
        yield top


def _left_v2(directory: Path) -> int | None:
    limits = [_number(directory / name) for name in ("memory.max", "memory.high")]
    limit = min((limit for limit in limits if limit is not None), default=None)
    used = _number(directory / "memory.current")
    if limit is None or used is None:
        return None
    return limit - used + _cached(directory / "memory.stat", "inactive_file")


def _left_v1(directory: Path) -> int | None:
    limit, used = _number(directory / "memory.limit_in_bytes"), _number(directory / "memory.usage_in_bytes")
    if limit is None or used is None or limit >= _UNLIMITED:
        return None
    return limit - used + _cached(directory / "memory.stat", "total_inactive_file")


def _cached(path: Path, name: str) -> int:
    """Return the bytes of cached files that the kernel takes back first."""
    for line in _lines(path):
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    """Return the number in a file; None when it is missing, or says "max"."""
    (text, *_) = [*_lines(path), ""]
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:  # another system, or no permission
        return []
