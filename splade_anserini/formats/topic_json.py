"""Topics in JSON: records, dictionaries of texts or vectors by id, tables by column, conversations."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from splade_anserini.formats.parsing.columns import column_key
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.json_records import Record, json_record, json_type
from splade_anserini.formats.parsing.json_stream import json_values
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.parsing.unique_keys import check_unique_keys_of, duplicate_key, has_unique_keys
from splade_anserini.formats.topic_fields import (
    CERTAIN_VECTOR_NAMES,
    ID_NAMES,
    TEXT_NAMES,
    VECTOR_NAMES,
    TopicRecord,
    by_key,
    query_names,
)
from splade_anserini.formats.vector_shapes import columns_of, parallel_columns

_CONTAINERS = ("queries", "topics", "questions", "data")
"""Keys under which an object may have its topics."""
_TURNS = ("turn", "turns")
"""Keys under which a conversation has its queries (TREC CAsT and iKAT)."""
_TURN_IDS = ("number", "turnid", "turnnumber", "id")
_MOST_KEYS = 100
_EXPECTED_VALUE = "a text, a record, or a vector for each query id"


def json_topics(path: Path, lines: Callable[[], Iterator[tuple[Location, bytes]]]) -> Iterator[TopicRecord]:
    """Yield the topics of a JSON file, whose lines are `lines`. Raises `RecordError` for a malformed topic."""
    _, first = next(lines())
    for location, source in lines() if _is_object(first) else json_values(path):
        yield from _topics(_unique_record(source, location), location)


class _Keys(NamedTuple):
    """What the keys of a record may be: in the order in which they count, by `column_key`."""

    ids: tuple[str, ...]
    vectors: tuple[str, ...]
    turns: tuple[str, ...]
    has_text: bool


def _keys_of(record: Mapping[str, object]) -> _Keys:
    # A dictionary of topics has as many keys as topics.
    names = tuple(record)
    return _keys(names) if len(names) <= _MOST_KEYS else _keys.__wrapped__(names)


@lru_cache(maxsize=1 << 10)
def _keys(names: tuple[str, ...]) -> _Keys:
    keys = {*map(column_key, names)}
    ids, vectors, turns = (tuple(name for name in known if name in keys) for known in (ID_NAMES, VECTOR_NAMES, _TURNS))
    return _Keys(ids, vectors, turns, not keys.isdisjoint(TEXT_NAMES))


def record_topic(record: Mapping[str, object], location: Location, id_: str | None = None) -> TopicRecord:
    """Return the topic in a record; `id_` is its id where the record has none."""
    return _topic(by_key(record), _keys_of(record), location, id_)


def _topic(fields: dict[str, object], keys: _Keys, location: Location, id_: str | None = None) -> TopicRecord:
    if id_ is None:
        id_name = next((name for name in keys.ids if fields[name] is not None), None)
        if id_name is None:
            raise location.error(
                f"no id, only {', '.join(fields)}", expected="a string under id, _id, qid, query_id or docid"
            )
        id_ = _id(fields.pop(id_name), location)
    topic = TopicRecord(location, id_, fields)
    if not keys.vectors:
        return topic
    names = [name for name in keys.vectors if name in CERTAIN_VECTOR_NAMES or not topic.has_text]
    vectors: list[object] = [vector for name in names if (vector := _vector_in(fields[name], location)) is not None]
    if not vectors and isinstance(fields.get("vector"), list | dict) and not topic.has_text:
        # What is wrong with it is found where vectors are checked; pairs may be none.
        vectors = [fields["vector"] or {}]
    if not vectors and not query_names(topic, frozenset()):
        # Lists of tokens and impacts are fields of the record.
        vectors = [_as_vector_of_tokens(fields, location)]
    return topic._replace(vector=vectors[0]) if vectors else topic


def _topics(record: Record, location: Location) -> Iterator[TopicRecord]:
    keys, fields = _keys_of(record), by_key(record)
    if any(isinstance(fields[name], str | int) for name in keys.ids):
        turns = [fields[name] for name in keys.turns if isinstance(fields[name], list)]
        yield from _conversation(fields, turns[0], location) if turns else [_topic(fields, keys, location)]
        return
    if rows := _rows(record):
        yield from (record_topic(row, location) for row in rows)
        return
    contents = next((fields[name] for name in _CONTAINERS if name in fields and len(fields) <= 3), None)
    if isinstance(contents, list):
        for item in contents:
            if not isinstance(item, dict):
                raise location.error(f"a topic is {json_type(item)}", expected="objects")
            yield from _topics(item, location)
    elif isinstance(contents, dict):
        yield from _topics(contents, location)
    elif keys.has_text and any(isinstance(fields.get(name), str) for name in TEXT_NAMES):
        yield _topic(fields, keys, location)
    else:
        yield from (_entry(checked_id(id_, location), value, location) for id_, value in record.items())


def _entry(id_: str, value: object, location: Location) -> TopicRecord:
    """Return a topic of a dictionary of topics."""
    if value is None or isinstance(value, str):
        return TopicRecord(location, id_, {"text": value or ""})
    if (vector := as_vector(value)) is not None:
        return TopicRecord(location, id_, {}, vector)
    if isinstance(value, dict):
        return record_topic(value, location, id_)
    raise location.error(f"the value of {id_!r} is {json_type(value)}", expected=_EXPECTED_VALUE)


def _conversation(fields: dict[str, object], turns: Any, location: Location) -> Iterator[TopicRecord]:
    number = next(fields[name] for name in ("number", *ID_NAMES) if fields.get(name) is not None)
    for turn in turns:
        turn_fields = by_key(turn) if isinstance(turn, dict) else {}
        turn_number = next((turn_fields.pop(name) for name in _TURN_IDS if name in turn_fields), None)
        if turn_number is None:
            raise location.error(f"a turn of {number} has no number", expected="a number for each turn")
        yield TopicRecord(location, _id(f"{number}_{turn_number}", location), turn_fields)


def _rows(record: Record) -> list[Record]:
    """Return the rows of a table that is stored by column: `{"query_id": {"0": 7}, "query": {"0": "…"}}`, or lists.

    Pandas also writes `{"columns": ["query_id", "query"], "index": [0], "data": [[7, "…"]]}`.
    """
    if record.keys() == {"columns", "index", "data"} and isinstance(record["data"], list):
        header = [str(name) for name in record["columns"] or ()]
        rows = [row for row in record["data"] if isinstance(row, list) and len(row) == len(header)]
        return [dict(zip(header, row, strict=True)) for row in rows] if len(rows) == len(record["data"]) else []
    columns = {name: value for name, value in record.items() if isinstance(value, list | dict)}
    names = {column_key(name) for name in columns}
    if len(columns) < len(record) or not (names & {*ID_NAMES} and names & {*TEXT_NAMES, *VECTOR_NAMES}):
        return []
    cells: list[dict[Any, Any]] = [
        value if isinstance(value, dict) else dict(enumerate(value)) for value in columns.values()
    ]
    if any(column.keys() != cells[0].keys() for column in cells):
        return []
    return [{name: column[key] for name, column in zip(columns, cells, strict=True)} for key in cells[0]]


def as_vector(value: object) -> dict[str, object] | None:
    """Return a sparse vector: an object of numbers, pairs of token and number, or their JSON; None for all else."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            text, value = value, orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
        # A token that occurs twice.
        if isinstance(value, dict) and not has_unique_keys(value, text.encode()) and duplicate_key(text):
            return None
    if isinstance(value, list) and value and all(_is_pair(item) for item in value):
        vector = dict(value)
        return vector if len(vector) == len(value) else None
    if isinstance(value, dict) and all(type(weight) in (int, float) for weight in value.values()):
        return value
    return None


def _vector_in(value: object, location: Location) -> dict[str, object] | None:
    vector = as_vector(value)
    return _as_vector_of_tokens(value, location) if vector is None else vector


def _as_vector_of_tokens(value: object, location: Location) -> dict[str, object] | None:
    """Return a vector that is written as lists of tokens and weights, or as objects with both; else None."""
    if not isinstance(value, dict | list) or not value:
        return None
    columns = parallel_columns(value, location) if isinstance(value, dict) else columns_of(value, location)
    if columns is None:
        return None
    tokens = [token for token in columns.tokens if isinstance(token, str)]
    is_vector = len(tokens) == len(columns.tokens) == len(set(tokens))
    return dict(zip(tokens, columns.weights, strict=True)) if is_vector else None


def _is_pair(item: object) -> bool:
    return (
        isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str) and type(item[1]) in (int, float)
    )


def _id(value: object, location: Location) -> str:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise location.error(f"the id is {json_type(value)}", expected="a string or an integer")
    return checked_id(value, location)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _unique_record(source: bytes, location: Location) -> Record:
    """Return the object in a line. Raises `RecordError` when it is none, or an object in it has a key twice."""
    record = json_record(source, location, unique_keys=False)
    check_unique_keys_of(record, source, location)
    return record
