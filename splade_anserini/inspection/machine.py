"""What this machine has: the facts from which `doctor` concludes what works."""

import os
import platform
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.errors import SpladeAnseriniError, first_line
from splade_anserini.free_memory import free_memory
from splade_anserini.parallel import cpu_count

if TYPE_CHECKING:
    from splade_anserini.lucene.java.runtime import JavaRuntime
    from splade_anserini.modeling.torch_facts import TorchFacts

NETWORK_SECONDS = 3.0
"""How long is waited for an answer."""

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_HUB = "https://huggingface.co"

_INT8 = {"avx512_vnni", "avx_vnni", "avxvnni", "amx_int8", "asimddp"}
"""Flags of processors with instructions for products of int8."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package that this one needs."""

    name: str
    needed: str
    """Such as ">=2.4"."""
    installed: str | None
    is_met: bool


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory in which something is kept."""

    purpose: str
    variable: str
    """The variable that names another; empty for the working directory."""
    path: str
    is_writable: bool
    free: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that torch can use."""

    name: str
    memory: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts about this machine and this installation. What failed has its error in words."""

    python: tuple[int, int, int]
    system: str
    machine: str
    requirements: tuple[Requirement, ...]
    extras: Mapping[str, tuple[str, ...]]
    """Extra → packages of it that are missing."""
    java: str
    """The version and directory of the runtime."""
    java_error: str
    has_vector_module: bool
    jar: str
    jar_error: str
    lucene: str
    """The version that runs in Java."""
    lucene_error: str
    memory: int
    """Bytes that this process may use."""
    physical_memory: int
    free_memory: int | None
    heap: int
    """Bytes that Java may use."""
    heap_error: str
    cores: int
    quota: float | None
    """Cores that the control group may use at a time; None without a limit."""
    has_native_int8: bool
    has_native_bf16: bool
    torch: str
    torch_error: str
    gpus: tuple[Gpu, ...]
    has_mps: bool
    has_nvidia_driver: bool
    onnxruntime_error: str
    encode_milliseconds: float
    """Time of a short query in the default encoder."""
    directories: tuple[Directory, ...]
    network: bool | None
    """Whether Hugging Face answers; None when it was not asked."""
    network_detail: str

    def values(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return asdict(self)


def this_machine(*, with_network: bool = True) -> Machine:
    """Look at this machine: start Java, load torch, encode a text, and ask Hugging Face for an answer."""
    java, java_error = _attempt(_java)
    jar, jar_error = _attempt(_jar)
    lucene, lucene_error = _attempt(_lucene_version) if java and jar else (None, "")
    memory, _ = _attempt(_memory_limit)
    heap, heap_error = _attempt(_heap)
    torch, torch_error = _attempt(_torch)
    milliseconds, encode_error = _attempt(_encode_once)
    network, network_detail = network_answers(os.environ) if with_network else (None, "not asked for")
    requirements, extras = _requirements()
    return Machine(
        python=sys.version_info[:3],
        system=platform.system(),
        machine=platform.machine(),
        requirements=requirements,
        extras=extras,
        java=f"{java.version} in {java.home}" if java else "",
        java_error=java_error,
        has_vector_module=bool(java and java.vector_module),
        jar=str(jar or ""),
        jar_error=jar_error,
        lucene=lucene or "",
        lucene_error=lucene_error,
        memory=memory or physical_memory(),
        physical_memory=physical_memory(),
        free_memory=free_memory(),
        heap=heap or 0,
        heap_error=heap_error,
        cores=cpu_count(),
        quota=cpu_quota(),
        has_native_int8=not _INT8.isdisjoint(_processor_flags()),
        has_native_bf16=bool(torch and torch.has_native_bf16),
        torch=torch.version if torch else "",
        torch_error=torch_error,
        gpus=tuple(Gpu(name, memory) for name, memory in torch.gpus) if torch else (),
        has_mps=bool(torch and torch.has_mps),
        has_nvidia_driver=Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None,
        onnxruntime_error=encode_error,
        encode_milliseconds=milliseconds or 0.0,
        directories=tuple(_directories(os.environ)),
        network=network,
        network_detail=network_detail,
    )


def _attempt[T](look: Callable[[], T]) -> tuple[T | None, str]:
    """Return a fact, or None and the first line of the error."""
    try:
        return look(), ""
    except SpladeAnseriniError as error:
        return None, str(error).replace("\n", " ")
    except Exception as error:
        # What is broken raises anything: a library that lacks a symbol, a file that was cut off.
        return None, f"{type(error).__name__}: {first_line(error)}"


# What imports a package is looked at in a function, as the package may be missing.


def _java() -> "JavaRuntime":
    from splade_anserini.lucene.java.runtime import find_java

    return find_java(os.environ)


def _jar() -> Path:
    from splade_anserini.lucene.java.jvm import anserini_jar

    return anserini_jar(os.environ)


def _memory_limit() -> int:
    from splade_anserini.lucene.java.heap import memory_limit

    return memory_limit()


def _heap() -> int:
    from splade_anserini.lucene.java.heap import heap_size

    return heap_size(os.environ)


def _torch() -> "TorchFacts":
    from splade_anserini.modeling.torch_facts import torch_facts

    return torch_facts()


def physical_memory() -> int:
    """Return the bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _lucene_version() -> str:
    from splade_anserini.lucene import start_jvm
    from splade_anserini.lucene.index_writer import lucene_version

    start_jvm()
    return lucene_version()


def _encode_once() -> float:
    """Return the milliseconds in which the default encoder, once loaded, encodes a short query: the best of five."""
    from splade_anserini.encoding import open_query_encoder

    encoder = open_query_encoder(DEFAULT_ENCODER)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        encoder.encode("pain in the head")
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def _requirements() -> tuple[tuple[Requirement, ...], dict[str, tuple[str, ...]]]:
    """Return what this package needs, and what is missing of each extra; nothing when it is not installed."""
    try:
        texts = metadata.requires("splade-anserini") or []
    except metadata.PackageNotFoundError:
        texts = []
    needed: list[Requirement] = []
    missing: dict[str, list[str]] = {}
    for text in texts:
        extra = re.search(r"""extra == ['"]([\w-]+)['"]""", text)
        requirement = requirement_of(text, extra[1] if extra else "")
        if requirement and extra:
            missing.setdefault(extra[1], []).extend([] if requirement.is_met else [requirement.name])
        elif requirement:
            needed.append(requirement)
    # These are for who works on this package.
    return tuple(needed), {extra: tuple(names) for extra, names in missing.items() if extra not in {"test", "bench"}}


def requirement_of(text: str, extra: str) -> Requirement | None:
    """Return whether a requirement is met; None for one of another system or version of Python."""
    name, specifier, _ = re.split(r"((?=[<>=!~ ;]|$)[^;]*)", text, maxsplit=1)
    name, specifier = name.partition("[")[0].strip(), specifier.strip()
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        installed = None
    try:
        from packaging.requirements import Requirement as Parsed
    except ImportError:  # it comes with transformers
        return Requirement(name, specifier, installed, installed is not None)
    parsed = Parsed(text)
    if parsed.marker and not parsed.marker.evaluate({"extra": extra}):
        return None
    is_met = installed is not None and parsed.specifier.contains(installed, prereleases=True)
    return Requirement(name, str(parsed.specifier), installed, is_met)


def _processor_flags(root: Path = Path("/")) -> set[str]:
    """Return the flags of the first processor; nothing on other systems than Linux."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, flags=re.MULTILINE)
    return set(flags[1].split()) if flags else set()


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many cores the control groups of this process may use at a time; None without a limit."""
    quotas = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = top / path.lstrip("/")
        quotas += [_quota(directory) for directory in (group, *group.parents) if directory.is_relative_to(top)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(directory: Path) -> float | None:
    """Return the limit of one control group, of version 2 or 1."""
    numbers = " ".join(_lines(directory / "cpu.max")).split()
    if not numbers:
        numbers = [*_lines(directory / "cpu.cfs_quota_us")[:1], *_lines(directory / "cpu.cfs_period_us")[:1]]
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers) or not int(numbers[1]):
        return None
    return int(numbers[0]) / int(numbers[1])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Return the directory in which models of Hugging Face are kept."""
    hub = environment.get("HF_HUB_CACHE")
    return Path(hub) if hub else Path(environment.get("HF_HOME") or _cache(environment) / "huggingface", "hub")


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111  # Path.home() raises for a user without one


def _cache(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("XDG_CACHE_HOME") or _home() / ".cache")


def _directories(environment: Mapping[str, str]) -> Iterable[Directory]:
    cache = _cache(environment)
    own = environment.get("SPLADE_ANSERINI_CACHE") or cache / "splade-anserini"
    pyserini = environment.get("PYSERINI_CACHE") or cache / "pyserini"
    collections = environment.get("IR_DATASETS_HOME") or _home() / ".ir_datasets"
    yield _directory("working directory", "", Path.cwd())
    yield _directory("temporary files", "TMPDIR", Path(tempfile.gettempdir()))
    yield _directory("models of Hugging Face", "HF_HOME", hub_cache(environment))
    yield _directory("topics and indexes of Pyserini", "PYSERINI_CACHE", Path(pyserini))
    yield _directory("collections of ir_datasets", "IR_DATASETS_HOME", Path(collections))
    yield _directory("what was checked", "SPLADE_ANSERINI_CACHE", Path(own))


def _directory(purpose: str, variable: str, path: Path) -> Directory:
    """Return a directory, or the first above it that exists, in which it would be made."""
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        free = 0
    return Directory(purpose, variable, str(path), there.is_dir() and os.access(there, os.W_OK | os.X_OK), free)


def network_answers(environment: Mapping[str, str], seconds: float = NETWORK_SECONDS) -> tuple[bool | None, str]:
    """Return whether Hugging Face answers within some seconds, and in words what was tried."""
    for name in _OFFLINE:
        if environment.get(name, "").upper() in {"1", "TRUE", "YES", "ON"}:
            return None, f"not asked, as {name} is set"
    url = environment.get("HF_ENDPOINT") or _HUB
    # Behind a proxy, only the proxy can be reached.
    proxy = environment.get("https_proxy") or environment.get("HTTPS_PROXY") or ""
    target = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else urlsplit(url)
    host, port = target.hostname or "", target.port or (443 if target.scheme == "https" else 80)
    name = f"the proxy {host}" if proxy else host
    answers: list[bool] = []
    # Names are looked up without a limit of time, so a thread waits for them.
    thread = Thread(target=lambda: answers.append(_connects(host, port, seconds)), daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers and answers[0]), name


def _connects(host: str, port: int, seconds: float) -> bool:
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except (OSError, UnicodeError):
        return False
