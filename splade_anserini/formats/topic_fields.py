"""Topics before it is decided how they are read: the fields of each, under whatever names files give them."""

from collections.abc import Mapping, Set
from functools import cache, lru_cache
from typing import NamedTuple

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.parsing.columns import column_key
from splade_anserini.formats.parsing.json_records import json_type
from splade_anserini.formats.parsing.lines import Location

ID_NAMES = (
    *("qid", "queryid", "topicid", "qno", "queryno", "topicno", "id", "identifier", "number", "num", "textid"),
    *("questionid", "docid", "topic"),
)
"""The names of ids as `column_key` returns them; the first that a record has counts."""
TEXT_NAMES = (
    *("query", "querytext", "querystring", "question", "questiontext", "text", "contents", "content", "body"),
    *("title", "topictitle", "rawutterance", "utterance", "topic"),
)
"""The names of a query's text; the first that is not blank counts."""
DESCRIPTION_NAMES = ("description", "desc", "topicdescription", "question")
NARRATIVE_NAMES = ("narrative", "narr", "topicnarrative")
CERTAIN_VECTOR_NAMES = ("vector", "sparsevector", "queryvector", "sparseembedding")
VECTOR_NAMES = (*CERTAIN_VECTOR_NAMES, "embedding", "weights", "impacts", "tokens")
"""The names of vectors; beside a text only the certain ones count, as `weights` may be those of something else."""

QUERY_NAMES = tuple(dict.fromkeys((*TEXT_NAMES, *DESCRIPTION_NAMES, *NARRATIVE_NAMES)))
"""The names of fields that could be the query, the one that counts first."""
_QUERY_NAMES = frozenset(QUERY_NAMES)

DEFAULT_FIELD = "title"
_NAMES_OF_FIELD = {DEFAULT_FIELD: TEXT_NAMES, "description": DESCRIPTION_NAMES, "narrative": NARRATIVE_NAMES}


class TopicRecord(NamedTuple):
    """A topic: its id, and its fields by `column_key` of their names."""

    location: Location
    id: str
    fields: Mapping[str, object]
    """Texts as a rule; JSON may have other values under names that are not asked for."""
    vector: object = None
    """The sparse vector of an encoded query, not yet checked; None when there is none."""

    @property
    def has_text(self) -> bool:
        """Whether there is a text under one of the usual names."""
        return any(isinstance(self.fields.get(name), str) for name in TEXT_NAMES)


def topic_text(topic: TopicRecord, field: str = DEFAULT_FIELD) -> str:
    """Return the text of a field, or of several that are joined by `+`; blank when it is there and has no text.

    Raises `RecordError` when the topic has none of these fields.
    """
    texts = [text for names in _names_of(field) if (text := _text(topic, names)) is not None]
    if not texts:
        raise _no_text(topic, field)
    return " ".join(text for text in texts if text.strip()) if len(texts) > 1 else texts[0]


@cache
def _names_of(field: str) -> list[tuple[str, ...]]:
    """Return the names of each of the fields that are joined by `+`."""
    keys = map(column_key, field.split("+"))
    return [_NAMES_OF_FIELD.get(key, (key,)) for key in keys]


def check_field(field: str) -> None:
    """Raise `InputError` for a value of --topics-field that names no field."""
    if not all(column_key(name) for name in field.split("+")):
        raise InputError(
            f"--topics-field must name fields, got {field!r}.",
            expected="title, description, narrative, another field of the file, or several such as title+description",
        )


def field_names(topic: TopicRecord) -> list[str]:
    """Return the fields of a topic that have a text, in their order."""
    return [name for name, value in topic.fields.items() if isinstance(value, str) and value.strip()]


def by_key(record: Mapping[str, object]) -> dict[str, object]:
    """Return the values by `column_key` of their names; of two names with the same key, the one that is its key."""
    keys = [_key(name) for name in record]
    if len(set(keys)) == len(keys):
        return dict(zip(keys, record.values(), strict=True))
    exact = {name: value for name, value in record.items() if _key(name) == name}
    return exact | {key: value for name, value in record.items() if (key := _key(name)) not in exact}


@lru_cache(maxsize=1 << 12)
def _key(name: str) -> str:
    return column_key(name)


def query_names(topic: TopicRecord, known: Set[str]) -> set[str]:
    """Return the names, beside those that are known, under which the topic has a text that could be the query."""
    names = (topic.fields.keys() & _QUERY_NAMES) - known
    return {name for name in names if isinstance(text := topic.fields[name], str) and text.strip()}


def _text(topic: TopicRecord, names: tuple[str, ...]) -> str | None:
    """Return the first text under these names that is not blank, else a blank one as it is, None without any."""
    text = None
    for name in names:
        if name in topic.fields:
            value = topic.fields[name]
            if isinstance(value, str) and value.strip():
                return value
            if value is not None and not isinstance(value, str):
                raise topic.location.error(f"the {name} is {json_type(value)}", expected="a string")
            # A no-break space may be a token of an encoded query.
            text = text or value or ""
    return text


def _no_text(topic: TopicRecord, field: str) -> RecordError:
    only = f", only {', '.join(topic.fields)}" if topic.fields else ""
    if field != DEFAULT_FIELD:
        missing = " or ".join(field.split("+"))
        return topic.location.error(
            f"topic {topic.id} has no {missing}{only}", expected="a field that --topics-field names"
        )
    names = [name for name in field_names(topic) if name not in (*ID_NAMES, "url")]
    return topic.location.error(
        f"topic {topic.id} has no text{only}",
        expected="a string under text, contents, query, question or title",
        do=f"Name the fields that are the query, for example --topics-field {'+'.join(names[:2])}." if names else "",
    )
