"""The environment of a measurement: processors, memory, system and versions, without names of hosts or paths."""

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata

from splade_anserini._version import __version__
from splade_anserini.parallel import cpu_count

_PACKAGES = ("pyserini", "torch", "transformers", "onnxruntime", "ir-measures", "ir-datasets", "numpy")


def environment() -> dict[str, str | int]:
    """Return processors, memory in bytes, architecture, system, and the versions of Python and of this package."""
    return {
        "cores": cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "splade-anserini": __version__,
    }


def package_versions(names: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of those of the packages that are installed."""
    versions = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
