"""The documents that an index stores: JSON objects with the id, the text and all other fields, without the vector."""

from typing import Any

import orjson

from splade_anserini.lucene.index_reader import CONTENTS, ID, RAW
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.records import JsonDocument

ID_KEY, TITLE_KEY, CONTENTS_KEY, VECTOR_KEY = "id", "title", "contents", "vector"


def document_of_record(doc_id: str, record: bytes | str | None) -> JsonDocument | None:
    """Return the document in a stored record of an index, without its vector; None where nothing is stored.

    A record that is not a JSON object, as Anserini stores those of other formats, is the text.
    """
    if record is None:
        return None
    record = record.encode() if isinstance(record, str) else record
    if (document := _read_without_vector(record)) is not None:
        return document if ID_KEY in document else {ID_KEY: doc_id, **document}
    try:
        document = orjson.loads(record)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        return {ID_KEY: doc_id, CONTENTS_KEY: record.decode()}
    if isinstance(document.get(VECTOR_KEY), dict):
        del document[VECTOR_KEY]
    return document if ID_KEY in document else {ID_KEY: doc_id, **document}


def is_document(record: bytes) -> bool:
    """Return whether a record that this package stored is its document as it is: with the id, and without a vector."""
    return record.startswith(b'{"id":') and b'"vector"' not in record


def _read_without_vector(record: bytes) -> JsonDocument | None:
    """Parse a record whose last value is a vector, as `encode` writes it, up to there: it takes a fifth of the time.

    Returns None where it is not certain that nothing else is left out: when the vector is in another place, or one of
    its tokens has a brace.
    """
    head, mark, tail = record.rpartition(b',"vector":{')
    if not mark or not tail.endswith(b"}}") or tail.count(b"}") != 2 or tail.count(b"{"):
        return None
    try:
        # An object inside another one would not be closed.
        document = orjson.loads(head + b"}")
    except orjson.JSONDecodeError:
        return None
    return None if not isinstance(document, dict) or VECTOR_KEY in document else document


def has_vector(record: str | None) -> bool:
    """Return whether a stored record holds the vector of its document, as Anserini's writer stores it."""
    try:
        document = orjson.loads(record or "null")
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and isinstance(document.get(VECTOR_KEY), dict)


def text_of(document: JsonDocument | None) -> str | None:
    """Return the text of a document; None where it has none."""
    text = document.get(CONTENTS_KEY) if document else None
    return text if isinstance(text, str) else None


class StoredDocument:
    """A document of the index, with the methods of Pyserini's documents."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def docid(self) -> str:
        """Return the id."""
        return str(self.get(ID))

    def id(self) -> str:
        """Return the id."""
        return self.docid()

    def contents(self) -> str | None:
        """Return the text; None if the index does not store it."""
        return self.get(CONTENTS)

    def raw(self) -> str | None:
        """Return the record that was indexed; None if the index does not store it."""
        return self.get(RAW)

    def get(self, field: str) -> str | None:
        """Return a stored field; None if the document does not have it."""
        with JAVA_LOCK:
            value: str | None = self._document.get(field)
        return value

    def lucene_document(self) -> Any:
        """Return Lucene's Document."""
        return self._document
