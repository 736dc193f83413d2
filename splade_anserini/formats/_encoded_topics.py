"""Topics that are encoded already: `qid<TAB>token token …`, each token as often as its impact says, or JSON vectors."""

from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path

from splade_anserini.errors import InputError
from splade_anserini.formats._fields import checked_id, record_id
from splade_anserini.formats._irds import PREFIX
from splade_anserini.formats._json import json_records
from splade_anserini.formats._lines import Place
from splade_anserini.formats._topic_sources import is_json, placed_topics, topic_file
from splade_anserini.formats._writing import open_whole
from splade_anserini.formats.duplicates import duplicate
from splade_anserini.formats.tokens import VectorCheck, counted, repeated
from splade_anserini.records import ImpactVector

_SAMPLE = 100
_REPEATED = 3


def read_encoded_topics(source: str) -> dict[str, ImpactVector]:
    """Return the vectors by query id, from any source of topics whose texts are tokens, or from JSON with `vector`.

    Raises `RecordError` for a query that is none, is empty or occurs twice, `InputError` when there are no topics.
    """
    path = None if source.startswith(PREFIX) else topic_file(source)
    check = VectorCheck()
    topics: dict[str, ImpactVector] = {}
    first: dict[str, Place] = {}
    for place, id_, vector in _vectors(path) if path and is_json(path) else _token_texts(source):
        if id_ in first:
            raise duplicate(place, id_, first[id_], "query id")
        first[id_] = place
        topics[id_] = _filled(id_, check(vector, place), place)
    if not topics:
        raise InputError(f"The topics {source} are empty.", expected="at least one query")
    return topics


def are_encoded(source: str) -> bool:
    """Say whether topics look encoded: JSON with `vector`, or texts that repeat each token several times in a row.

    People do not write so, and encoded topics hardly ever do without: their impacts are tens and hundreds.
    """
    path = None if source.startswith(PREFIX) else topic_file(source)
    if path and is_json(path):
        return any("vector" in record and "text" not in record for _, record in islice(json_records(path), 1))
    tokens = runs = 0
    for _, query in islice(placed_topics(source), _SAMPLE):
        words = query.text.split()
        tokens += len(words)
        runs += sum(1 for _ in groupby(words))
    return tokens > _REPEATED * runs


def write_encoded_topics(path: Path, topics: Mapping[str, ImpactVector]) -> None:
    """Write `qid<TAB>token token …`, the strongest tokens first; gzipped when the name ends in .gz.

    Raises `RecordError` for what could not be read again as it is.
    """
    check = VectorCheck()
    with open_whole(path) as file:
        for number, (id_, vector) in enumerate(topics.items(), 1):
            place = Place(path, number)
            checked = _filled(checked_id(id_, place), check(dict(vector), place), place)
            file.write(f"{id_}\t{repeated(checked)}\n".encode())


def _vectors(path: Path) -> Iterator[tuple[Place, str, object]]:
    for place, record in json_records(path):
        if "vector" not in record:
            raise place.error("no vector", expected='an encoded query {"id": …, "vector": {"token": impact, …}}')
        yield place, record_id(record, place), record["vector"]


def _token_texts(source: str) -> Iterator[tuple[Place, str, object]]:
    for place, query in placed_topics(source):
        yield place, query.id, counted(query.text)


def _filled(id_: str, vector: ImpactVector, place: Place) -> ImpactVector:
    if not vector:
        raise place.error(f"the query {id_!r} is empty", expected="at least one token", do="Remove it.")
    return vector
