"""The memory that is left to a process: of the machine, and below the limits of its control groups."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from splade_anserini.free_memory import free_memory

GIB = 1 << 30
MEMINFO = f"MemTotal:       {24 * GIB // 1024} kB\nMemFree:  1024 kB\nMemAvailable:   {16 * GIB // 1024} kB\n"
V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)
NO_LIMIT_V1 = "9223372036854771712"


def root_with(root: Path, files: Mapping[str, object]) -> Path:
    for name, content in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n" if isinstance(content, int) else str(content))
    return root


def v2(group: str, limit: object, used: int, cached: int = 0) -> dict[str, object]:
    directory = f"sys/fs/cgroup{group}"
    return {
        f"{directory}/memory.max": limit,
        f"{directory}/memory.current": used,
        f"{directory}/memory.stat": f"anon {used - cached}\nfile {cached}\ninactive_file {cached}\nactive_file 5\n",
    }


def v1(group: str, limit: object, used: int, cached: int = 0) -> dict[str, object]:
    directory = f"sys/fs/cgroup/memory{group}"
    return {
        f"{directory}/memory.limit_in_bytes": limit,
        f"{directory}/memory.usage_in_bytes": used,
        f"{directory}/memory.stat": f"cache {cached}\ninactive_file 1\ntotal_inactive_file {cached}\n",
    }


def test_without_control_groups_it_is_what_the_machine_has_available(tmp_path: Path) -> None:
    assert free_memory(root_with(tmp_path, {})) == 16 * GIB


def test_on_other_systems_it_is_not_known(tmp_path: Path) -> None:
    assert free_memory(tmp_path) is None


@pytest.mark.parametrize(
    ("cgroup", "files", "left"),
    [
        ("0::/job\n", v2("/job", 8 * GIB, 2 * GIB), 6 * GIB),
        # Cached files are given back first.
        ("0::/job\n", v2("/job", 8 * GIB, 7 * GIB, cached=4 * GIB), 5 * GIB),
        ("0::/job\n", v2("/job", "max\n", 7 * GIB), 16 * GIB),
        # The machine has less than the limit leaves.
        ("0::/job\n", v2("/job", 100 * GIB, 2 * GIB), 16 * GIB),
        ("0::/job\n", v2("/job", 2 * GIB, 3 * GIB), 0),
        # Throttled from here on.
        ("0::/job\n", v2("/job", 8 * GIB, 2 * GIB) | {"sys/fs/cgroup/job/memory.high": 4 * GIB}, 2 * GIB),
        # A group has no more than those that contain it leave.
        ("0::/pod/job\n", v2("/pod/job", "max\n", GIB) | v2("/pod", 4 * GIB, 3 * GIB), GIB),
        ("0::/pod/job\n", v2("/pod/job", 2 * GIB, GIB // 2) | v2("/pod", 4 * GIB, GIB), 3 * GIB // 2),
        # A container sees its own group as the root.
        ("0::/\n", v2("", 3 * GIB, GIB), 2 * GIB),
    ],
)
def test_control_groups_of_version_2_are_followed_to_the_root(
    tmp_path: Path, cgroup: str, files: dict[str, object], left: int
) -> None:
    root = root_with(tmp_path, files | {"proc/self/cgroup": cgroup, "proc/self/mountinfo": V2})
    assert free_memory(root) == left


CGROUP_V1 = "9:name=systemd:/\n4:memory:{}\n1:cpu:/x\n0::/\n"


@pytest.mark.parametrize(
    ("group", "files", "left"),
    [
        ("/job", v1("/job", 8 * GIB, 2 * GIB) | v1("", NO_LIMIT_V1, 9 * GIB), 6 * GIB),
        ("/job", v1("/job", 8 * GIB, 7 * GIB, cached=3 * GIB), 4 * GIB),
        ("/job", v1("/job", NO_LIMIT_V1, 2 * GIB), 16 * GIB),
        ("/pod/job", v1("/pod/job", NO_LIMIT_V1, GIB) | v1("/pod", 4 * GIB, 3 * GIB), GIB),
        ("/", v1("", 3 * GIB, GIB), 2 * GIB),
    ],
)
def test_control_groups_of_version_1_are_followed_to_the_root(
    tmp_path: Path, group: str, files: dict[str, object], left: int
) -> None:
    root = root_with(tmp_path, files | {"proc/self/cgroup": CGROUP_V1.format(group), "proc/self/mountinfo": V1})
    assert free_memory(root) == left


@pytest.mark.parametrize("path", ["/docker/abc", "/docker/abc/"])
def test_a_hierarchy_that_is_mounted_from_the_containers_group_on(tmp_path: Path, path: str) -> None:
    mountinfo = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    files = v1("", 3 * GIB, GIB)
    root = root_with(tmp_path, files | {"proc/self/cgroup": f"4:memory:{path}\n", "proc/self/mountinfo": mountinfo})
    assert free_memory(root) == 2 * GIB


def test_a_group_that_is_not_visible_is_left_out(tmp_path: Path) -> None:
    root = root_with(tmp_path, v2("", 3 * GIB, GIB) | {"proc/self/cgroup": "0::/host/job\n", "proc/self/mountinfo": V2})
    assert free_memory(root) == 2 * GIB


def test_the_memory_of_this_machine_is_known_on_linux() -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("not Linux")
    free = free_memory()
    assert free is not None
    assert 0 <= free < 1 << 50
