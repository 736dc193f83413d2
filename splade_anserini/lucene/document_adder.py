"""Adds batches of documents to a Lucene index that is being written, with one call to Java for each batch."""

from typing import Any

from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.index_reader import CONTENTS, ID, RAW
from splade_anserini.lucene.java.json_request import JsonRequest
from splade_anserini.lucene.java.method_handles import (
    ITERATOR,
    LIST,
    STRING,
    as_callable,
    as_type,
    bind,
    chain,
    constructor,
    drop_argument,
    next_element,
    sequence,
    virtual_method,
    while_has_next,
)

_FIELD, _DOCUMENT = "org.apache.lucene.document.Field", "org.apache.lucene.document.Document"
_BYTES_REF = "org.apache.lucene.util.BytesRef"


class DocumentAdder:
    """Adds documents for one thread at a time; one Lucene document with its fields is reused for all of them."""

    def __init__(self, writer: Any, options: IndexOptions) -> None:
        from jnius import autoclass

        self._batch = JsonRequest()
        self._document = autoclass(_DOCUMENT)()
        setters = [self._add_id_fields(), self._add_field(_contents_field(options))]
        if options.store_text:
            setters.append(self._add_field(_raw_field()))
        self._task = as_callable(self._compose(writer, setters))

    def load(self, fields: bytes) -> Any:
        """Return a `Callable` that adds documents.

        `fields` is a JSON array of strings: for each document its id, its text and, if it is stored, its record.
        """
        self._batch.write(fields)
        return self._task

    def _compose(self, writer: Any, setters: list[Any]) -> Any:
        """Compose the loop over a batch."""
        # List<String> strings = stringListReader.readValue(batch.toByteArray());
        # for (Iterator<String> iterator = strings.iterator(); iterator.hasNext(); ) {
        #     setId(iterator.next());
        #     contents.setStringValue(iterator.next());
        #     raw.setStringValue(iterator.next());        // only with store_text
        #     writer.addDocument(document);
        # }
        add = virtual_method("org.apache.lucene.index.IndexWriter", "addDocument", "long", "java.lang.Iterable")
        add = drop_argument(as_type(bind(add, writer, self._document), "void"), 0, ITERATOR)
        set_and_add = sequence(*(chain(next_element(STRING), setter) for setter in setters), add)
        return chain(
            self._batch.parse_list(STRING), virtual_method(LIST, "iterator", ITERATOR), while_has_next(set_and_add)
        )

    def _add_field(self, field: Any) -> Any:
        """Add a field to the document; return the handle that sets it, (String) → void."""
        self._document.add(field)
        # field.setStringValue(string);
        return bind(virtual_method(_FIELD, "setStringValue", "void", STRING), field)

    def _add_id_fields(self) -> Any:
        """Add both fields of the id to the document; return the handle that sets both, (String) → void."""
        from jnius import autoclass

        stored = autoclass(f"{_FIELD}$Store").YES
        string_field = autoclass("org.apache.lucene.document.StringField")(
            ID, "", stored, signature=f"(Ljava/lang/String;Ljava/lang/String;L{_FIELD.replace('.', '/')}$Store;)V"
        )
        doc_values = autoclass("org.apache.lucene.document.BinaryDocValuesField")(ID, autoclass(_BYTES_REF)())
        set_string = self._add_field(string_field)
        self._document.add(doc_values)
        # void setId(String id) {
        #     stringField.setStringValue(id);
        #     docValues.setBytesValue(new BytesRef(id));
        # }
        to_bytes = as_type(constructor(_BYTES_REF, "java.lang.CharSequence"), _BYTES_REF, STRING)
        set_bytes = bind(virtual_method(_FIELD, "setBytesValue", "void", _BYTES_REF), doc_values)
        return sequence(set_string, chain(to_bytes, set_bytes))


def _contents_field(options: IndexOptions) -> Any:
    from jnius import autoclass

    field_type = autoclass("org.apache.lucene.document.FieldType")()
    field_type.setIndexOptions(autoclass("org.apache.lucene.index.IndexOptions").DOCS_AND_FREQS)
    # Anserini's term vectors have positions as well, which carry no information for impacts. Lucene cannot store
    # positions for tokens that carry a frequency.
    field_type.setStoreTermVectors(options.store_docvectors)
    field_type.freeze()
    return autoclass(_FIELD)(
        CONTENTS,
        autoclass(STRING)(""),
        field_type,
        signature="(Ljava/lang/String;Ljava/lang/CharSequence;Lorg/apache/lucene/index/IndexableFieldType;)V",
    )


def _raw_field() -> Any:
    from jnius import autoclass

    return autoclass("org.apache.lucene.document.StoredField")(
        RAW, "", signature="(Ljava/lang/String;Ljava/lang/String;)V"
    )
