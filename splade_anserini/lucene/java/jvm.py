"""Starts the one Java virtual machine of this process, quietly, or takes the one that runs."""

import importlib.util
import locale
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from splade_anserini.errors import JavaError
from splade_anserini.lucene.java.heap import heap_size
from splade_anserini.lucene.java.runtime import OLDEST, VECTOR_MODULE, JavaRuntime, find_java

_logger = logging.getLogger(__name__)
_lock = threading.Lock()


def start_jvm() -> None:
    """Start the virtual machine with Anserini's classes; when one runs already, check that it will do.

    Raises `JavaError` when there is no Java, it does not start, or the one that runs is too old or lacks Anserini.
    """
    with _lock:
        _running_jvm()


def java_version() -> str:
    """Return the version of the Java that runs, "21.0.8", starting it where none does."""
    start_jvm()
    from jnius import autoclass

    return str(autoclass("java.lang.System").getProperty("java.version"))


@cache
def _running_jvm() -> Any:
    import jnius_config

    quiet = None
    if jnius_config.vm_running:
        _logger.debug("a virtual machine runs already, with the options %s", jnius_config.get_options())
    else:
        _start(os.environ)
        quiet = _hush_lucene()
    _check()
    return quiet


def _start(environment: Mapping[str, str]) -> None:
    import jnius_config

    runtime = find_java(environment)
    options = _options(runtime, environment, jnius_config.get_options())
    classpath = anserini_jar(environment)
    _rehearse(runtime, options)
    jnius_config.set_options(*options)
    jnius_config.add_classpath(str(classpath))
    # pyjnius looks for libjvm by these variables, and Java for the encoding of file names by the locale.
    surroundings = {"JAVA_HOME": str(runtime.home), "JVM_PATH": None}
    if locale.getencoding().lower() != "utf-8" and sys.platform == "linux":
        surroundings["LC_ALL"] = "C.UTF-8"
    with _environment(surroundings), _native_errors_to_log():
        try:
            import jnius  # noqa: F401  # importing it starts the virtual machine
        except Exception as error:
            raise JavaError(
                f"Java {runtime.version} at {runtime.home} did not start: {error}.",
                do="Set JAVA_HOME to another runtime, or unset it to use the one that comes with this package.",
            ) from error
    _logger.debug("started Java %s at %s with %s", runtime.version, runtime.home, options)


def anserini_jar(environment: Mapping[str, str]) -> Path:
    """Return Anserini's jar: the newest in ANSERINI_CLASSPATH, or else the one inside pyserini."""
    if "ANSERINI_CLASSPATH" in environment:
        directory = Path(environment["ANSERINI_CLASSPATH"])
    else:
        spec = importlib.util.find_spec("pyserini")
        if spec is None or not spec.submodule_search_locations:
            raise JavaError("Pyserini, which brings Anserini, is not installed.", do="Run: pip install pyserini")
        directory = Path(spec.submodule_search_locations[0]) / "resources" / "jars"
    jars = sorted(directory.glob("anserini-*-fatjar.jar"), key=lambda jar: jar.stat().st_ctime)
    if not jars:
        raise JavaError(
            f"{directory} has no Anserini.",
            expected="a file named anserini-*-fatjar.jar",
            do="Correct or unset ANSERINI_CLASSPATH, or install pyserini again.",
        )
    return jars[-1]


def _options(runtime: JavaRuntime, environment: Mapping[str, str], others: list[str]) -> list[str]:
    """Return ours after those that others have configured; Java takes the last of two that disagree."""
    vector = f"--add-modules={VECTOR_MODULE}"
    ours = [
        f"-Xmx{heap_size(environment) // 1024}k",
        "--enable-native-access=ALL-UNNAMED",
        "-Dslf4j.internal.verbosity=WARN",
        # Leaves Ctrl-C to Python.
        "-Xrs",
    ]
    if runtime.vector_module:
        ours.append(vector)
    return [option for option in others if option not in {vector, *ours}] + ours


def _rehearse(runtime: JavaRuntime, options: list[str]) -> None:
    """Try the options in a process of their own: a virtual machine that cannot start takes its process along."""
    try:
        trial = subprocess.run(  # noqa: S603  # the program is the Java that was found
            [runtime.java, *options, "-version"], capture_output=True, text=True, errors="replace", check=False
        )
        complaint = (trial.stdout + trial.stderr).strip() if trial.returncode else ""
    except OSError as error:
        complaint = str(error)
    if complaint:
        raise JavaError(
            f"Java {runtime.version} at {runtime.home} does not start: {complaint}",
            do="If it lacks memory, set SPLADE_ANSERINI_HEAP to less, for example 1g; "
            "otherwise set JAVA_HOME to another runtime, or unset it.",
        )


def _check() -> None:
    from jnius import autoclass

    version = autoclass("java.lang.System").getProperty("java.specification.version")
    if not version.isdecimal() or int(version) < OLDEST:
        raise JavaError(
            f"The Java that runs in this process is version {version}: something else started it.",
            expected=f"Java {OLDEST} or later",
            do=f"Call splade_anserini.lucene.start_jvm() before that, or set JAVA_HOME to a JDK {OLDEST} or later.",
        )
    loader = autoclass("java.lang.ClassLoader").getSystemClassLoader()
    if loader.getResource("io/anserini/index/IndexCollection.class") is None:
        raise JavaError(
            "The Java that runs in this process lacks Anserini's classes: something else started it.",
            do="Call splade_anserini.lucene.start_jvm() before that, or add pyserini's jar to its class path.",
        )


def _hush_lucene() -> Any:
    """Keep Lucene's advice on Java's options to itself. The level lasts as long as the logger that is returned."""
    from jnius import autoclass

    logger = autoclass("java.util.logging.Logger").getLogger("org.apache.lucene")
    logger.setLevel(autoclass("java.util.logging.Level").SEVERE)
    return logger


@contextmanager
def _environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    _set_environment(changes)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _native_errors_to_log() -> Iterator[None]:
    """Send what is written to file descriptor 2, past Python, to the log."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            for line in file.read().decode(errors="replace").splitlines():
                _logger.debug("java: %s", line)
