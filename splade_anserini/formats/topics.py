"""Topics from files and ir_datasets: as texts, or as impact vectors that were encoded before.

A file of topics holds `qid<TAB>text` or JSON records. Encoded topics are `qid<TAB>token token …`, each token repeated
as often as its impact says, or JSON records with a `vector`.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path

from splade_anserini.errors import InputError
from splade_anserini.formats.irds import PREFIX, irds_items
from splade_anserini.formats.parsing.duplicates import duplicate
from splade_anserini.formats.parsing.fields import checked_id, record_id, record_text
from splade_anserini.formats.parsing.json_records import json_records
from splade_anserini.formats.parsing.lines import Place, text_lines
from splade_anserini.formats.parsing.writing import open_whole
from splade_anserini.formats.qrels import read_qrels, test_split
from splade_anserini.formats.tokens import VectorCheck, counted, repeated
from splade_anserini.records import ImpactVector, Query

TEXT_KEYS = ("text", "contents", "query", "title")
JSON_SUFFIXES = (".jsonl", ".json")
_SAMPLE = 100
_REPEATED = 3

_log = logging.getLogger(__name__)

type NamedTopics = Callable[[str], Iterable[tuple[Place, Query]]]
"""Returns the topics of a name that is neither a path nor `irds:<name>`, or raises `InputError`."""


def no_named_topics(name: str) -> Iterable[tuple[Place, Query]]:
    """Raise `InputError`: only files and ir_datasets are read."""
    raise InputError(
        f"Topics {name} not found.",
        expected="a .tsv or .jsonl file (or .gz), a BEIR directory, or irds:<name>",
        do="Check the spelling of the path.",
    )


def read_topics(source: str, named: NamedTopics = no_named_topics) -> list[Query]:
    """Return the topics that `source` names: a file, a BEIR directory, `irds:<name>`, or a name that `named` knows.

    Of a BEIR directory with `qrels/test.tsv` these are the judged ones of its test split; its file of queries, named
    itself, has them all. Raises `RecordError` for a malformed, empty or duplicate topic, `InputError` when there are
    no topics.
    """
    topics = []
    for place, query in placed_topics(source, named):
        if not query.text.strip():
            raise place.error(
                f"the query {query.id!r} is empty", expected="at least one word", do="Remove it, or give it a text."
            )
        topics.append(query)
    return _judged(topics, Path(source)) if Path(source).is_dir() else topics


def _judged(topics: list[Query], directory: Path) -> list[Query]:
    split = test_split(directory)
    if split is None:
        return topics
    ids = {qrel.query_id for qrel in read_qrels(str(split))}
    judged = [query for query in topics if query.id in ids]
    if not judged:
        raise InputError(f"None of the queries in {directory} is judged in {split}.", do="Name the file of queries.")
    _log.info("%s: %d of %d queries, those of the test split", directory, len(judged), len(topics))
    return judged


def placed_topics(source: str, named: NamedTopics = no_named_topics) -> Iterator[tuple[Place, Query]]:
    """Yield the topics that `source` names, some perhaps without text.

    Raises `RecordError` for an id that is none or occurs twice, `InputError` when there are no topics.
    """
    first: dict[str, Place] = {}
    for place, query in _open(source, named):
        checked_id(query.id, place)
        if query.id in first:
            raise duplicate(place, query.id, first[query.id], "query id")
        first[query.id] = place
        yield place, query
    if not first:
        raise InputError(f"The topics {source} are empty.", expected="at least one query")


def is_json(path: Path) -> bool:
    """Say whether the file holds JSON, by its name."""
    return path.name.removesuffix(".gz").endswith(JSON_SUFFIXES)


def topic_file(source: str) -> Path | None:
    """Return the file that `source` names, the queries of a BEIR directory too, or None when it is no path."""
    path = Path(source)
    if not path.is_dir():
        return path if path.exists() else None
    for name in ("queries.jsonl", "queries.jsonl.gz"):
        if (path / name).is_file():
            return path / name
    raise InputError(f"The directory {path} holds no queries.jsonl.", expected="a BEIR directory, or a file of topics")


def _open(source: str, named: NamedTopics) -> Iterable[tuple[Place, Query]]:
    if source.startswith(PREFIX):
        return _irds(source)
    if path := topic_file(source):
        return _json(path) if is_json(path) else _tsv(path)
    if os.sep in source or source.removesuffix(".gz").endswith((*JSON_SUFFIXES, ".tsv", ".txt")):
        raise InputError(f"The topics {source} do not exist.", do="Check the spelling of the path.")
    return named(source)


def _json(path: Path) -> Iterator[tuple[Place, Query]]:
    for place, record in json_records(path):
        if "vector" in record and not any(key in record for key in TEXT_KEYS):
            raise place.error("an encoded query, without a text", expected="text", do="Name it as encoded topics.")
        yield place, Query(record_id(record, place), record_text(record, place, TEXT_KEYS))


def _tsv(path: Path) -> Iterator[tuple[Place, Query]]:
    for place, line in text_lines(path):
        columns = line.split("\t")
        if len(columns) != 2:
            found = f"{len(columns)} column{'s' * (len(columns) > 1)}"
            raise place.error(found, expected="qid<TAB>text", do="Separate the id from the text by one tab.")
        yield place, Query(columns[0], columns[1])


def _irds(source: str) -> Iterator[tuple[Place, Query]]:
    for number, item in enumerate(irds_items(source, "queries"), 1):
        text = item.default_text() if hasattr(item, "default_text") else item.text
        yield Place(source, number), Query(item.query_id, text)


def read_encoded_topics(source: str, named: NamedTopics = no_named_topics) -> dict[str, ImpactVector]:
    """Return the vectors by query id, from any source of topics whose texts are tokens, or from JSON with `vector`.

    Raises `RecordError` for a query that is none, is empty or occurs twice, `InputError` when there are no topics.
    """
    path = None if source.startswith(PREFIX) else topic_file(source)
    check = VectorCheck()
    topics: dict[str, ImpactVector] = {}
    first: dict[str, Place] = {}
    for place, id_, vector in _vectors(path) if path and is_json(path) else _token_texts(source, named):
        if id_ in first:
            raise duplicate(place, id_, first[id_], "query id")
        first[id_] = place
        topics[id_] = _filled(id_, check(vector, place), place)
    if not topics:
        raise InputError(f"The topics {source} are empty.", expected="at least one query")
    return topics


def are_encoded(source: str, named: NamedTopics = no_named_topics) -> bool:
    """Say whether topics look encoded: JSON with `vector`, or texts that repeat each token several times in a row.

    People do not write so, and encoded topics hardly ever do without: their impacts are tens and hundreds.
    """
    path = None if source.startswith(PREFIX) else topic_file(source)
    if path and is_json(path):
        return any("vector" in record and "text" not in record for _, record in islice(json_records(path), 1))
    tokens = runs = 0
    for _, query in islice(placed_topics(source, named), _SAMPLE):
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


def _token_texts(source: str, named: NamedTopics) -> Iterator[tuple[Place, str, object]]:
    for place, query in placed_topics(source, named):
        yield place, query.id, counted(query.text)


def _filled(id_: str, vector: ImpactVector, place: Place) -> ImpactVector:
    if not vector:
        raise place.error(f"the query {id_!r} is empty", expected="at least one token", do="Remove it.")
    return vector
