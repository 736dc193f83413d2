"""Where topics come from; each is yielded with its place, checked."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from splade_anserini.errors import InputError
from splade_anserini.formats._fields import checked_id, record_id, record_text
from splade_anserini.formats._irds import PREFIX, irds_items
from splade_anserini.formats._json import json_records
from splade_anserini.formats._lines import Place, text_lines
from splade_anserini.formats._pyserini_topics import pyserini_topics
from splade_anserini.formats.duplicates import duplicate
from splade_anserini.records import Query

TEXT_KEYS = ("text", "contents", "query", "title")
JSON_SUFFIXES = (".jsonl", ".json")


def placed_topics(source: str) -> Iterator[tuple[Place, Query]]:
    """Yield the topics that `source` names, some perhaps without text.

    Raises `RecordError` for an id that is none or occurs twice, `InputError` when there are no topics.
    """
    first: dict[str, Place] = {}
    for place, query in _open(source):
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


def _open(source: str) -> Iterable[tuple[Place, Query]]:
    if source.startswith(PREFIX):
        return _irds(source)
    if path := topic_file(source):
        return _json(path) if is_json(path) else _tsv(path)
    if os.sep in source or source.removesuffix(".gz").endswith((*JSON_SUFFIXES, ".tsv", ".txt")):
        raise InputError(f"The topics {source} do not exist.", do="Check the spelling of the path.")
    return pyserini_topics(source)


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
