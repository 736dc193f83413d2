"""Topics that Pyserini knows by name."""

from collections.abc import Iterator
from typing import Any

from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.records import Query


def pyserini_topics(name: str) -> Iterator[tuple[Place, Query]]:
    """Yield the titles of the topics; starts the JVM. Raises `InputError` when Pyserini knows no such topics."""
    for number, (id_, fields) in enumerate(_ask(name).items(), 1):
        place = Place(name, number)
        if "title" not in fields:
            raise place.error(f"the topic {id_} has no title but {', '.join(sorted(fields))}", expected="a title")
        yield place, Query(str(id_), fields["title"])


def _ask(name: str) -> dict[int | str, dict[str, Any]]:
    # Pyserini starts a JVM of its own while it is imported, without the options that this package needs.
    start_jvm()
    try:
        from pyserini.search import get_topics

        topics: dict[int | str, dict[str, Any]] = get_topics(name)
    except Exception as error:
        # Java's stack trace comes with the message: its first line says what happened.
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"No topics {name}: neither a file nor a directory of this name exists, "
            f"and Pyserini did not provide them ({type(error).__name__}: {reason}).",
            expected="a .tsv or .jsonl file (or .gz), a BEIR directory, irds:<name>, or a name Pyserini knows",
            do="Check the spelling; Pyserini downloads topics when it is first asked for them, so also the network.",
        ) from error
    return topics
