"""Starts the Java virtual machine of this process, or checks the one that is running already."""

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
from splade_anserini.lucene.java.class_path import append_to_class_path, resource_url
from splade_anserini.lucene.java.forks import remember_java, require_own_java
from splade_anserini.lucene.java.heap import heap_size
from splade_anserini.lucene.java.runtime import OLDEST, VECTOR_MODULE, JavaRuntime, find_java
from splade_anserini.lucene.pyserini_import import adapt_pyserini

_ANSERINI = "io/anserini/index/IndexCollection.class"

_SHARED = {
    "Lucene": "org/apache/lucene/util/Version.class",
    "Jackson": "com/fasterxml/jackson/databind/ObjectMapper.class",
}
"""Libraries in Anserini's jar that other jars may hold in another version."""

_FIRST = (
    "Call splade_anserini.lucene.start_jvm() before other code starts Java; "
    "with PyTerrier, import splade_anserini.pyterrier before it starts Java"
)

_VECTORS = f"--add-modules={VECTOR_MODULE}"

_logger = logging.getLogger(__name__)
_lock = threading.Lock()


def start_jvm() -> None:
    """Start the Java virtual machine with Anserini's classes; if one is running already, add them to its class path.

    Afterwards Pyserini can be imported: without a Java 21 of your own, and without network access.

    Raises `JavaError` when there is no Java, it does not start, the running one is too old or has another Lucene, or it
    runs in the process that this one was forked from.
    """
    require_own_java()
    with _lock:
        _running_jvm()
        adapt_pyserini()


def java_version() -> str:
    """Return the version of the running Java, such as "21.0.8"; start it if necessary."""
    start_jvm()
    from jnius import autoclass

    return str(autoclass("java.lang.System").getProperty("java.version"))


@cache
def _running_jvm() -> None:
    import jnius_config

    if jnius_config.vm_running:
        remember_java()
        require_own_java()
        _logger.debug("a Java virtual machine is running already, with the options %s", jnius_config.get_options())
        _check_running_jvm()
        if resource_url(_ANSERINI) is not None:
            return
        _add_anserini(anserini_jar(os.environ))
    else:
        _start(os.environ)
    silence_lucene()


def _start(environment: Mapping[str, str]) -> None:
    import jnius_config

    runtime = find_java(environment)
    options = _options(runtime, environment, jnius_config.get_options())
    classpath = anserini_jar(environment)
    _try_options(runtime, options)
    jnius_config.set_options(*options)
    jnius_config.add_classpath(str(classpath))
    # pyjnius finds libjvm by these variables; Java takes the encoding of file names from the locale.
    variables = java_variables(runtime)
    if locale.getencoding().lower() != "utf-8" and sys.platform == "linux":
        variables["LC_ALL"] = "C.UTF-8"
    with changed_environment(variables), _native_errors_to_log():
        try:
            import jnius  # noqa: F401  # importing it starts the virtual machine
        except Exception as error:
            raise JavaError(
                f"Java {runtime.version} at {runtime.home} did not start: {error}.",
                do="Set JAVA_HOME to another runtime, or unset it to use the one that is installed with this package.",
            ) from error
    remember_java()
    _logger.debug("started Java %s at %s with %s", runtime.version, runtime.home, options)


def anserini_jar(environment: Mapping[str, str]) -> Path:
    """Return Anserini's jar: the newest in the directory ANSERINI_CLASSPATH if that is set, else Pyserini's."""
    if "ANSERINI_CLASSPATH" in environment:
        directory = Path(environment["ANSERINI_CLASSPATH"])
    else:
        spec = importlib.util.find_spec("pyserini")
        if spec is None or not spec.submodule_search_locations:
            raise JavaError("Pyserini, which includes Anserini, is not installed.", do="Run: pip install pyserini")
        directory = Path(spec.submodule_search_locations[0]) / "resources" / "jars"
    jars = sorted(directory.glob("anserini-*-fatjar.jar"), key=lambda jar: jar.stat().st_ctime)
    if not jars:
        raise JavaError(
            f"{directory} does not contain Anserini's jar.",
            expected="a file named anserini-*-fatjar.jar",
            do="Correct or unset ANSERINI_CLASSPATH, or reinstall pyserini.",
        )
    return jars[-1]


def _options(runtime: JavaRuntime, environment: Mapping[str, str], configured: list[str]) -> list[str]:
    """Return our options after those that are configured already; of conflicting options, Java takes the last."""
    # Ctrl-C is handled by Python.
    ours = [heap_option(environment), *anserini_options(runtime), "-Xrs"]
    return [option for option in configured if option not in {_VECTORS, *ours}] + ours


def anserini_options(runtime: JavaRuntime) -> list[str]:
    """Return the options for Lucene's vector instructions, where the runtime has them, and against warnings."""
    vectors = [_VECTORS] if runtime.vector_module else []
    return ["--enable-native-access=ALL-UNNAMED", "-Dslf4j.internal.verbosity=WARN", *vectors]


def heap_option(environment: Mapping[str, str]) -> str:
    """Return the option for the size of the heap."""
    return f"-Xmx{heap_size(environment) // 1024}k"


def java_variables(runtime: JavaRuntime) -> dict[str, str | None]:
    """Return the variables by which pyjnius finds a runtime."""
    return {"JAVA_HOME": str(runtime.home), "JVM_PATH": None}


def _try_options(runtime: JavaRuntime, options: list[str]) -> None:
    """Try the options in a separate process: a virtual machine that cannot start ends its whole process."""
    try:
        trial = subprocess.run(  # noqa: S603  # the program is the Java that was found
            [runtime.java, *options, "-version"], capture_output=True, text=True, errors="replace", check=False
        )
        output = (trial.stdout + trial.stderr).strip() if trial.returncode else ""
    except OSError as error:
        output = str(error)
    if output:
        raise JavaError(
            f"Java {runtime.version} at {runtime.home} does not start: {output}",
            do="If it lacks memory, set SPLADE_ANSERINI_HEAP to a smaller size, for example 1g; "
            "otherwise set JAVA_HOME to another runtime, or unset it.",
        )


def _check_running_jvm() -> None:
    from jnius import autoclass

    version = autoclass("java.lang.System").getProperty("java.specification.version")
    if not version.isdecimal() or int(version) < OLDEST:
        raise JavaError(
            f"Other code has started Java {version} in this process.",
            expected=f"Java {OLDEST} or later",
            do=f"{_FIRST}. Or set JAVA_HOME to a JDK {OLDEST} or later.",
        )


def _add_anserini(jar: Path) -> None:
    """Add Anserini to the class path of a Java that other code has started."""
    for library, name in _SHARED.items():
        if url := resource_url(name):
            raise JavaError(
                f"Other code has started Java in this process, without Anserini's classes and with its own {library}, "
                f"{url}.",
                do=f"{_FIRST}.",
            )
    append_to_class_path(jar)
    _logger.debug("added %s to the class path of the running Java", jar)


@cache
def silence_lucene() -> Any:
    """Silence Lucene's advice about Java's options. The level lasts as long as the logger, which is kept."""
    from jnius import autoclass

    logger = autoclass("java.util.logging.Logger").getLogger("org.apache.lucene")
    logger.setLevel(autoclass("java.util.logging.Level").SEVERE)
    return logger


@contextmanager
def changed_environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables for the block; None unsets one."""
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
    """Redirect what native code writes to file descriptor 2 to the log."""
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
