"""Adds a jar to the class path of a Java virtual machine that is running."""

from functools import cache
from pathlib import Path
from typing import Any

from splade_anserini.errors import JavaError

_LOADER = "jdk/internal/loader/ClassLoaders$AppClassLoader"


def resource_url(name: str) -> str | None:
    """Return from where the running Java would load a file such as "org/example/Name.class"; None if from nowhere."""
    from jnius import autoclass

    url = autoclass("java.lang.ClassLoader").getSystemClassLoader().getResource(name)
    return None if url is None else str(url.toString())


def append_to_class_path(jar: Path) -> None:
    """Append a jar to the class path. Classes of jars before it hide its own of the same name.

    Raises `JavaError` when the running Java has another class loader than OpenJDK's.
    """
    from jnius import JavaException, autoclass, cast

    loader = autoclass("java.lang.ClassLoader").getSystemClassLoader()
    try:
        # What Java itself calls when an agent appends to the class path.
        cast(_loader_class(), loader).appendToClassPathForInstrumentation(str(jar.absolute()))
    except (JavaException, AttributeError, TypeError) as error:
        raise JavaError(
            f"{jar} cannot be added to the class path of the running Java: {error}.",
            do="Call splade_anserini.lucene.start_jvm() before other code starts Java.",
        ) from error


@cache
def _loader_class() -> Any:
    """Return the class of OpenJDK's system class loader; reflection would not find its internal methods."""
    from jnius import JavaClass, JavaMethod, MetaJavaClass

    members = {
        "__javaclass__": _LOADER,
        "appendToClassPathForInstrumentation": JavaMethod("(Ljava/lang/String;)V"),
    }
    return MetaJavaClass("AppClassLoader", (JavaClass,), members)
