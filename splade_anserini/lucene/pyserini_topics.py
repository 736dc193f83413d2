"""Topics that Pyserini knows by name, such as `dl19-passage`."""

from collections.abc import Iterator
from typing import Any

from splade_anserini.errors import InputError
from splade_anserini.formats.beir import SHIPPED
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.topic_fields import TopicRecord, by_key
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.threads import JAVA_LOCK


def pyserini_topics(name: str) -> Iterator[TopicRecord]:
    """Yield the topics; start the Java virtual machine. Raises `InputError` for an unknown name."""
    for line, (id_, fields) in enumerate(_get_topics(name).items(), 1):
        yield TopicRecord(Location(name, line), str(id_), by_key(fields))


def _get_topics(name: str) -> dict[int | str, dict[str, Any]]:
    # Importing Pyserini starts a Java virtual machine without the options that this package needs, unless one runs.
    start_jvm()
    try:
        with JAVA_LOCK:
            from pyserini.search import get_topics

            topics: dict[int | str, dict[str, Any]] = get_topics(name)
    except Exception as error:
        # The rest of the message is Java's stack trace.
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"No topics named {name}: there is no such file or directory, "
            f"and Pyserini failed to provide them ({type(error).__name__}: {reason}).",
            expected=f"a file of topics, a BEIR directory, irds:<name>, {SHIPPED}, or a name that Pyserini knows",
            do="Check the spelling and the network connection; Pyserini downloads topics when they are first used.",
        ) from error
    return topics
