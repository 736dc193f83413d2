"""Topics that Pyserini knows by name."""

from collections.abc import Iterator
from typing import Any

from splade_anserini.errors import InputError
from splade_anserini.formats._lines import Place
from splade_anserini.records import Query


def pyserini_topics(name: str) -> Iterator[tuple[Place, Query]]:
    """Yield the topics by their title fields. Raises `InputError` when Pyserini knows none by this name."""
    for number, (id_, fields) in enumerate(_ask(name).items(), 1):
        place = Place(name, number)
        if "title" not in fields:
            raise place.error(f"the topic {id_} has no title but {', '.join(sorted(fields))}", expected="a title")
        yield place, Query(str(id_), fields["title"])


def _ask(name: str) -> dict[int | str, dict[str, Any]]:
    """Import Pyserini, which needs the JVM: our own must have been started before."""
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
