"""One thread's way into an index that is being written: batches of documents, in one call to Java each."""

from typing import Any

from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.java import method_handles as h
from splade_anserini.lucene.java.json_request import JsonRequest
from splade_anserini.lucene.schema import CONTENTS, ID, RAW

_FIELD, _DOCUMENT = "org.apache.lucene.document.Field", "org.apache.lucene.document.Document"
_BYTES_REF = "org.apache.lucene.util.BytesRef"


class DocumentLane:
    """Adds documents for one thread; one Lucene document and its fields serve for all of them."""

    def __init__(self, writer: Any, options: IndexOptions) -> None:
        from jnius import autoclass

        self._batch = JsonRequest()
        self._document = autoclass(_DOCUMENT)()
        setters = [self._id_setter(), self._setter(_contents_field(options))]
        if options.store_text:
            setters.append(self._setter(_raw_field()))
        self._add = h.task(self._handle(writer, setters))

    def load(self, fields: bytes) -> Any:
        """Return a task for Java that indexes documents: a JSON array of id, text and, if stored, record of each."""
        self._batch.write(fields)
        return self._add

    def _handle(self, writer: Any, setters: list[Any]) -> Any:
        """Compose: parse the array, and as long as it lasts set each field to the next string and add the document."""
        strings = self._batch.parsed(self._batch.mapper.readerForListOf(h.java_class(h.STRING)), h.LIST)
        add = h.virtual("org.apache.lucene.index.IndexWriter", "addDocument", "long", "java.lang.Iterable")
        add = h.drop_argument(h.typed(h.bound(add, writer, self._document), "void"), 0, h.ITERATOR)
        one = h.sequence(*(h.chain(h.next_of(h.STRING), setter) for setter in setters), add)
        return h.chain(strings, h.virtual(h.LIST, "iterator", h.ITERATOR), h.while_next(one))

    def _setter(self, field: Any) -> Any:
        """Put a field into the document; return the handle that sets it, (String) → void."""
        self._document.add(field)
        return h.bound(h.virtual(_FIELD, "setStringValue", "void", h.STRING), field)

    def _id_setter(self) -> Any:
        """Put both fields of the id into the document; return the handle that sets both."""
        from jnius import autoclass

        stored = autoclass(f"{_FIELD}$Store").YES
        string = autoclass("org.apache.lucene.document.StringField")(
            ID, "", stored, signature=f"(Ljava/lang/String;Ljava/lang/String;L{_FIELD.replace('.', '/')}$Store;)V"
        )
        values = autoclass("org.apache.lucene.document.BinaryDocValuesField")(ID, autoclass(_BYTES_REF)())
        set_string = self._setter(string)
        self._document.add(values)
        to_bytes = h.typed(h.constructor(_BYTES_REF, "java.lang.CharSequence"), _BYTES_REF, h.STRING)
        set_bytes = h.bound(h.virtual(_FIELD, "setBytesValue", "void", _BYTES_REF), values)
        return h.sequence(set_string, h.chain(to_bytes, set_bytes))


def _contents_field(options: IndexOptions) -> Any:
    from jnius import autoclass

    kind = autoclass("org.apache.lucene.document.FieldType")()
    kind.setIndexOptions(autoclass("org.apache.lucene.index.IndexOptions").DOCS_AND_FREQS)
    # Anserini keeps the positions as well, which say nothing: Lucene has none for tokens with a frequency.
    kind.setStoreTermVectors(options.store_docvectors)
    kind.freeze()
    return autoclass(_FIELD)(
        CONTENTS,
        autoclass(h.STRING)(""),
        kind,
        signature="(Ljava/lang/String;Ljava/lang/CharSequence;Lorg/apache/lucene/index/IndexableFieldType;)V",
    )


def _raw_field() -> Any:
    from jnius import autoclass

    return autoclass("org.apache.lucene.document.StoredField")(
        RAW, "", signature="(Ljava/lang/String;Ljava/lang/String;)V"
    )
