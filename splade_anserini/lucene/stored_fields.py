"""What an index holds of a document beside its postings: the stored record, its text, and values for filters."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.lucene.filter_fields import filter_values
from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.stored_documents import CONTENTS_KEY, ID_KEY, TITLE_KEY, VECTOR_KEY
from splade_anserini.records import Document, FilterType, ImpactDocument, JsonDocument

_SHOWN = 20


def json_document(document: Document | ImpactDocument) -> JsonDocument:
    """Return a document with all its fields as JSON: the id, the title, the text that is encoded, and the others.

    `id`, `title`, `contents` and a vector are no names of other fields.
    """
    values: JsonDocument = {ID_KEY: document.id}
    if isinstance(document, Document) and document.title:
        values[TITLE_KEY] = document.title
    values[CONTENTS_KEY] = document.contents
    for name, value in (document.fields or {}).items():
        is_empty_title = name == TITLE_KEY and not value
        if name not in values and not is_empty_title and not (name == VECTOR_KEY and isinstance(value, dict)):
            values[name] = value
    return values


def document_of_source(source: bytes | ImpactDocument) -> JsonDocument:
    """Return id and text of a document, or of a record in JSON, whose vector is not parsed if it comes last."""
    if isinstance(source, ImpactDocument):
        return {ID_KEY: source.id, CONTENTS_KEY: source.contents}
    end = source.rfind(b',"vector":{')
    try:
        record = orjson.loads(source[:end] + b"}") if end > 0 else orjson.loads(source)
    except orjson.JSONDecodeError:
        record = orjson.loads(source)
    return {ID_KEY: record[ID_KEY], CONTENTS_KEY: record.get(CONTENTS_KEY, "")}


@dataclass
class StoredFields:
    """Makes the fields of documents as a `DocumentAdder` reads them, and counts which fields documents have."""

    store_text: bool = False
    store_fields: tuple[str, ...] = ()
    filter_fields: Mapping[str, FilterType] = field(default_factory=dict)
    documents: int = 0
    present: dict[str, int] = field(default_factory=dict)
    """The fields that documents have, in the order in which they were seen."""
    without: dict[str, str] = field(default_factory=dict)
    """Field for filters → the first document that has no value of it."""
    valued: Counter[str] = field(default_factory=Counter)
    """Field for filters → documents that have a value of it."""

    @classmethod
    def of(cls, options: IndexOptions) -> "StoredFields":
        """Return what makes the fields that options ask for."""
        return cls(options.store_text, options.stored_names, options.filter_types)

    @property
    def stores_contents(self) -> bool:
        """Whether the text is a stored field of its own, too."""
        return self.store_text and (not self.store_fields or CONTENTS_KEY in self.store_fields)

    def __bool__(self) -> bool:
        return self.store_text or bool(self.filter_fields)

    def counted(self, document: JsonDocument, location: Location) -> bytes:
        """Return the fields of a document of the collection, and count it."""
        self.documents += 1
        if not document.keys() <= self.present.keys():
            self.present |= dict.fromkeys(document, 1)
        values = {name: filter_values(document, name, type_, location) for name, type_ in self.filter_fields.items()}
        for name, value in values.items():
            if value:
                self.valued[name] += 1
            else:
                self.without.setdefault(name, document[ID_KEY])
        return self._joined(document, list(values.values()))

    def uncounted(self, document: JsonDocument) -> bytes:
        """Return the fields of a document that has no other fields than its id and its text."""
        return self._joined(document, [[] for _ in self.filter_fields])

    def check(self, name: str) -> None:
        """Raise `InputError` for a field that no document has; `name` is that of the collection."""
        for option_name, names, counts in (
            ("--store-fields", self.store_fields, self.present),
            ("--filter-fields", self.filter_fields, self.valued),
        ):
            if missing := next((field for field in names if not counts.get(field)), None):
                fields = ", ".join(list(self.present)[:_SHOWN])
                raise InputError(
                    f"No document of {name} has {missing!r}, which {option_name} names.",
                    expected=f"one of the fields that there are: {fields}",
                    do="Correct the name.",
                )

    def _joined(self, document: JsonDocument, values: list[list[str]]) -> bytes:
        """Return JSON without the brackets of the array: the record, the text, and an array for each filter field."""
        parts: list[Any] = []
        if self.store_text:
            kept: Any = document
            if self.store_fields:
                kept = {name: document[name] for name in (ID_KEY, *self.store_fields) if name in document}
            parts.append(orjson.dumps(kept, default=str).decode())
        if self.stores_contents:
            parts.append(document.get(CONTENTS_KEY) or "")
        return orjson.dumps([*parts, *values])[1:-1]
