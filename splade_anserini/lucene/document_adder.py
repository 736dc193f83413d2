"""Adds batches of documents to a Lucene index that is being written, with one call to Java for each batch."""

from collections.abc import Iterator, Mapping
from typing import Any

from splade_anserini.lucene.index_options import IndexOptions
from splade_anserini.lucene.index_reader import CONTENTS, ID, RAW
from splade_anserini.lucene.java.json_request import JsonRequest
from splade_anserini.lucene.java.method_handles import (
    ITERATOR,
    LIST,
    OBJECT,
    STRING,
    as_callable,
    as_type,
    bind,
    bind_object,
    bind_string,
    chain,
    constructor,
    drop_argument,
    filter_argument,
    next_element,
    sequence,
    static_method,
    virtual_method,
    while_has_next,
)
from splade_anserini.records import FilterType

_LUCENE_DOCUMENT = "org.apache.lucene.document"
_FIELD, _DOCUMENT = f"{_LUCENE_DOCUMENT}.Field", f"{_LUCENE_DOCUMENT}.Document"
_STORE, _INDEXABLE = f"{_FIELD}$Store", "org.apache.lucene.index.IndexableField"
_BYTES_REF = "org.apache.lucene.util.BytesRef"


class DocumentAdder:
    """Adds documents for one thread at a time; one Lucene document with its fields is reused for all of them."""

    def __init__(self, writer: Any, options: IndexOptions, *, stores_contents: bool = False) -> None:
        """With `stores_contents` the text is a stored field, too."""
        from jnius import autoclass

        self._batch = JsonRequest()
        self._document = autoclass(_DOCUMENT)()
        self._fields: list[Any] = []
        """The fields that every document has."""
        setters = [self._add_id_fields(), self._add_field(_contents_field(options))]
        if options.store_text:
            setters.append(self._add_field(_stored_field(RAW)))
        if stores_contents:
            setters.append(self._add_field(_stored_field(CONTENTS)))
        self._task = as_callable(self._compose(writer, setters, options.filter_types))

    def load(self, fields: bytes) -> Any:
        """Return a `Callable` that adds documents.

        `fields` is a JSON array of strings: for each document its id, its text and, where they are stored, its record
        and its contents. For each field for filters, an array of its values follows.
        """
        self._batch.write(fields)
        return self._task

    def _compose(self, writer: Any, setters: list[Any], filter_types: Mapping[str, FilterType]) -> Any:
        """Compose the loop over a batch."""
        # List<Object> items = listReader.readValue(batch.toByteArray());
        # for (Iterator<Object> iterator = items.iterator(); iterator.hasNext(); ) {
        #     setId((String) iterator.next());
        #     contents.setStringValue((String) iterator.next());
        #     raw.setStringValue((String) iterator.next());        // only with store_text
        #     storedContents.setStringValue((String) iterator.next());
        #     writer.addDocument(document);
        # }
        add = virtual_method("org.apache.lucene.index.IndexWriter", "addDocument", "long", "java.lang.Iterable")
        add = drop_argument(as_type(bind(add, writer, self._document), "void"), 0, ITERATOR)
        actions = [chain(next_element(STRING), setter) for setter in setters]
        if filter_types:
            actions = [*self._compose_reset(), *actions]
            actions += [self._compose_filter_field(name, type_) for name, type_ in filter_types.items()]
        items = self._batch.parse_list(OBJECT if filter_types else STRING)
        return chain(items, virtual_method(LIST, "iterator", ITERATOR), while_has_next(sequence(*actions, add)))

    def _compose_reset(self) -> Iterator[Any]:
        """Yield handles, (Iterator) → void, after which the document has the fields that all have."""
        # document.clear();
        # document.add(id); …
        yield drop_argument(bind(virtual_method(_DOCUMENT, "clear", "void"), self._document), 0, ITERATOR)
        add = bind(virtual_method(_DOCUMENT, "add", "void", _INDEXABLE), self._document)
        for field in self._fields:
            yield drop_argument(bind(add, field), 0, ITERATOR)

    def _compose_filter_field(self, name: str, type_: FilterType) -> Any:
        """Compose the adding of a field for each of its values, (Iterator) → void."""
        # for (Iterator<String> values = ((List<String>) iterator.next()).iterator(); values.hasNext(); ) {
        #     document.add(new LongField(name, Long.parseLong(values.next()), Field.Store.NO));
        # }
        add = bind(virtual_method(_DOCUMENT, "add", "void", _INDEXABLE), self._document)
        each = chain(next_element(STRING), _filter_field(name, type_), add)
        return chain(next_element(LIST), virtual_method(LIST, "iterator", ITERATOR), while_has_next(each))

    def _add_field(self, field: Any) -> Any:
        """Add a field to the document; return the handle that sets it, (String) → void."""
        self._add(field)
        # field.setStringValue(string);
        return bind(virtual_method(_FIELD, "setStringValue", "void", STRING), field)

    def _add(self, field: Any) -> None:
        self._document.add(field)
        self._fields.append(field)

    def _add_id_fields(self) -> Any:
        """Add both fields of the id to the document; return the handle that sets both, (String) → void."""
        from jnius import autoclass

        stored = autoclass(_STORE).YES
        string_field = autoclass("org.apache.lucene.document.StringField")(
            ID, "", stored, signature=f"(Ljava/lang/String;Ljava/lang/String;L{_STORE.replace('.', '/')};)V"
        )
        doc_values = autoclass("org.apache.lucene.document.BinaryDocValuesField")(ID, autoclass(_BYTES_REF)())
        set_string = self._add_field(string_field)
        self._add(doc_values)
        # void setId(String id) {
        #     stringField.setStringValue(id);
        #     docValues.setBytesValue(new BytesRef(id));
        # }
        to_bytes = as_type(constructor(_BYTES_REF, "java.lang.CharSequence"), _BYTES_REF, STRING)
        set_bytes = bind(virtual_method(_FIELD, "setBytesValue", "void", _BYTES_REF), doc_values)
        return sequence(set_string, chain(to_bytes, set_bytes))


def _filter_field(name: str, type_: FilterType) -> Any:
    """Return a handle that makes a field of a value, with terms or points and with doc values, (String) → field."""
    from jnius import autoclass

    if type_ == "str":
        # new KeywordField(name, value, Field.Store.NO)
        make = constructor(f"{_LUCENE_DOCUMENT}.KeywordField", STRING, STRING, _STORE)
    elif type_ == "float":
        # new DoubleField(name, Double.parseDouble(value), Field.Store.NO)
        make = constructor(f"{_LUCENE_DOCUMENT}.DoubleField", STRING, "double", _STORE)
        make = filter_argument(make, 1, static_method("java.lang.Double", "parseDouble", "double", STRING))
    else:
        make = constructor(f"{_LUCENE_DOCUMENT}.LongField", STRING, "long", _STORE)
        make = filter_argument(make, 1, static_method("java.lang.Long", "parseLong", "long", STRING))
    make = bind_string(bind_object(make, 2, autoclass(_STORE).NO), 0, name)
    return as_type(make, _INDEXABLE, STRING)


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


def _stored_field(name: str) -> Any:
    from jnius import autoclass

    return autoclass("org.apache.lucene.document.StoredField")(
        name, "", signature="(Ljava/lang/String;Ljava/lang/String;)V"
    )
