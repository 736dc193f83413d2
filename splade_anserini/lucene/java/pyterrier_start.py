"""Lets PyTerrier and this package share one Java virtual machine, whichever of them starts it.

PyTerrier loads this module whenever it starts Java (entry point `pyterrier.java.init`).
"""

import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

from pyterrier.java import JavaInitializer, configure

from splade_anserini.lucene.java.class_path import append_to_class_path
from splade_anserini.lucene.java.forks import remember_java
from splade_anserini.lucene.java.jvm import (
    anserini_jar,
    anserini_options,
    changed_environment,
    heap_option,
    java_variables,
    silence_lucene,
)
from splade_anserini.lucene.java.runtime import find_java

_logger = logging.getLogger(__name__)

_FIRST = -200
"""Priority of this package. Anserini's jar comes before Terrier's, as in pyterrier-anserini, whose priority is -105."""


class JavaStart(JavaInitializer):
    """Takes part in PyTerrier's start of Java.

    When Java is running already, PyTerrier's jars and properties are added to it; jnius would refuse them. Else
    Anserini's jar is added to the Java that is about to start, if `splade_anserini.pyterrier` has been imported.
    """

    def __init__(self) -> None:
        self._at_end = ExitStack()

    def priority(self) -> int:
        """Return when it takes part; lower is earlier."""
        return _FIRST

    def condition(self) -> bool:
        """Return whether it takes part."""
        import jnius_config

        return bool(jnius_config.vm_running) or "splade_anserini.pyterrier" in sys.modules

    def pre_init(self, jnius_config: ModuleType) -> None:
        """Prepare the class path and the options."""
        if jnius_config.vm_running:
            self._add_to_running_java(jnius_config)
        else:
            self._prepare_start(jnius_config)

    def post_init(self, jnius: ModuleType) -> None:  # noqa: ARG002  # PyTerrier's interface
        """Undo what was only for the start, and keep Lucene's advice about Java's options off the terminal."""
        remember_java()
        self._at_end.close()

    def message(self) -> str:
        """Return what PyTerrier prints about this package when it has started Java."""
        return "with Anserini's classes"

    def _add_to_running_java(self, jnius_config: Any) -> None:
        for name, function in (("add_classpath", _add_jars), ("add_options", _set_properties)):
            self._at_end.callback(setattr, jnius_config, name, getattr(jnius_config, name))
            setattr(jnius_config, name, function)

    def _prepare_start(self, jnius_config: Any) -> None:
        self._at_end.callback(silence_lucene)
        runtime = find_java(os.environ)
        self._at_end.enter_context(changed_environment(java_variables(runtime)))
        if configure["mem"] is None:
            jnius_config.add_options(heap_option(os.environ))
        jnius_config.add_options(*anserini_options(runtime))
        if not any(Path(jar).match("anserini-*-fatjar.jar") for jar in configure["jars"]):
            jnius_config.add_classpath(str(anserini_jar(os.environ)))


def _add_jars(*paths: str) -> None:
    for path in paths:
        append_to_class_path(Path(path))


def _set_properties(*options: str) -> None:
    """Set the properties among options of Java (-Dname=value); for the others it is too late."""
    from jnius import autoclass

    for option in options:
        if option.startswith("-D"):
            name, _, value = option.removeprefix("-D").partition("=")
            autoclass("java.lang.System").setProperty(name, value)
        elif option.startswith("-X"):
            _logger.warning("Java is running already, so that its option %s has no effect", option)
