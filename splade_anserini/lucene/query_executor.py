"""Runs queries in Java for one thread: a query vector goes in and ranked hits come out, in two calls to Java."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from splade_anserini.lucene.doc_lookup import DocFinder, DocScorer
from splade_anserini.lucene.index_reader import CONTENTS, ID, RAW
from splade_anserini.lucene.java.json_request import JsonRequest
from splade_anserini.lucene.java.method_handles import (
    ARRAY_LIST,
    BYTE_OUTPUT,
    BYTES,
    INTEGER,
    ITERATOR,
    LIST,
    MAP,
    OBJECT,
    STRING,
    add_to_list,
    array_length,
    as_callable,
    as_function,
    as_type,
    bind,
    bind_int,
    bind_object,
    bind_string,
    chain,
    constructor,
    drop_argument,
    field_getter,
    filter_argument,
    fold_first,
    next_element,
    sequence,
    static_method,
    supply_argument,
    swap_arguments,
    virtual_method,
    while_has_next,
)
from splade_anserini.records import ImpactVector

_READER, _DOC_VALUES, _BYTES_REF = (
    "org.apache.lucene.index.IndexReader",
    "org.apache.lucene.index.BinaryDocValues",
    "org.apache.lucene.util.BytesRef",
)
_STORED_FIELDS, _DOCUMENT = "org.apache.lucene.index.StoredFields", "org.apache.lucene.document.Document"
_SEARCHER, QUERY, _TOP_DOCS, _SCORE_DOC = (
    f"org.apache.lucene.search.{name}" for name in ("IndexSearcher", "Query", "TopDocs", "ScoreDoc")
)
_BOOLEAN_QUERY = "org.apache.lucene.search.BooleanQuery"
_BUILDER, _OCCUR = f"{_BOOLEAN_QUERY}$Builder", "org.apache.lucene.search.BooleanClause$Occur"
_REFERENCE = "java.util.concurrent.atomic.AtomicReference"
GENERATOR = "io.anserini.search.query.BagOfWordsQueryGenerator"
_DATA_OUTPUT, _MAPPER = "java.io.DataOutputStream", "com.fasterxml.jackson.databind.ObjectMapper"

_SET = "java.util.Set"
_LENGTH = 4
"""Bytes of the length that is before each record."""
_NO_RECORD = b"\0"
"""In place of a record that is not stored."""

type SearchQuery = ImpactVector | str
"""An impact vector; for BM25 a text."""


class Hits(NamedTuple):
    """The hits of a query, best first."""

    docs: npt.NDArray[np.int32]
    """[hits], Lucene's document numbers."""
    scores: npt.NDArray[np.float32]
    """[hits]."""


class QueryExecutor:
    """Searches for one thread at a time, with a request and a reply buffer of its own."""

    def __init__(self, reader: Any, searcher: Any) -> None:
        from jnius import autoclass

        self._reader, self._searcher = reader, searcher
        self._request, self._reply = JsonRequest(), autoclass(BYTE_OUTPUT)()
        self._output = autoclass(_DATA_OUTPUT)(self._reply)
        self._generator = autoclass(GENERATOR)()
        self._strings: Any = autoclass(ARRAY_LIST)()
        self._id_lookup = as_callable(self._compose_id_lookup())
        self._searches: dict[tuple[int, bool], Any] = {}
        self._batch_searches: dict[bool, Any] = {}
        self._filter = autoclass(_REFERENCE)()
        self._is_filtered = False
        self._scorer: DocScorer | None = None
        self._finder: DocFinder | None = None
        self._record_lookup: Any = None

    def search_task(self, query: SearchQuery, hits: int) -> Any:
        """Return a `Callable` that searches for the best `hits` documents; then `hits` returns them."""
        key = (hits, self._is_filtered)
        search = self._searches.get(key)
        if search is None:
            search = self._searches[key] = as_callable(self._compose_search(hits))
        return self._prepared(search, orjson.dumps(query))

    def set_filter(self, query: Any) -> None:
        """Let searches find only documents that Lucene's `query` matches, too; None: all."""
        if query is not None:
            self._filter.set(query)
        self._is_filtered = query is not None

    def score_task(self, query: ImpactVector, docs: Sequence[int]) -> Any:
        """Return a `Callable` that scores documents, given by Lucene's numbers; then `hits` returns all of them.

        They are ranked by score; those that share no token with `query` come last, with score 0.
        """
        if self._scorer is None:
            self._scorer = DocScorer(self._searcher, self._compose_query(), self._compose_write())
        return self._prepared(self._scorer.load(docs), orjson.dumps(query))

    def search_all(self, queries: Sequence[SearchQuery], hits: int) -> list[Hits]:
        """Return the best `hits` documents of each query, as Lucene ranks them; it takes one call to Java."""
        search = self._batch_searches.get(self._is_filtered)
        if search is None:
            search = self._batch_searches[self._is_filtered] = as_function(self._compose_batch_search())
        return _split_hits(search.apply(hits, orjson.dumps(queries).decode()).tostring())

    def hits(self) -> Hits:
        """Return the result of the task that was called last, as Lucene ranks it."""
        big_endian = np.frombuffer(self._reply.toByteArray().tostring(), dtype=np.int32)
        docs, scores = big_endian.byteswap().reshape(-1, 2).T.copy()
        return Hits(docs, scores.view(np.float32))

    def find_docs(self, ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """Return Lucene's numbers of the documents that have one of these ids, in no particular order."""
        if self._finder is None:
            self._finder = DocFinder(self._searcher, self._request, self._compose_write())
        # An index may contain an id more than once, so as many hits as asked for may not be all.
        limit = 1 << len(ids).bit_length()
        while True:
            self._prepared(self._finder.task(limit), orjson.dumps(list(ids))).call()
            docs = self.hits().docs
            if len(docs) < limit:
                return docs
            limit *= 4

    def external_ids(self, docs: Sequence[int]) -> list[str]:
        """Return the collection's ids of documents, given by Lucene's numbers in ascending order."""
        self._strings.clear()
        self._prepared(self._id_lookup, orjson.dumps(list(docs))).call()
        ids: list[str] = orjson.loads(self._reply.toByteArray().tostring())
        return ids

    def records(self, docs: Sequence[int]) -> list[bytes | None]:
        """Return the stored records of documents in UTF-8, given by Lucene's numbers; None for one that is not stored.

        It takes one call to Java.
        """
        if self._record_lookup is None:
            self._record_lookup = as_function(self._compose_record_lookup())
        return _split_records(self._record_lookup.apply(0, orjson.dumps(list(docs)).decode()).tostring())

    def _prepared(self, task: Any, request: bytes) -> Any:
        self._reply.reset()
        self._request.write(request)
        return task

    def _compose_search(self, hits: int) -> Any:
        # write(searcher.search(query(), hits));
        search = bind(virtual_method(_SEARCHER, "search", _TOP_DOCS, QUERY, "int"), self._searcher)
        query = chain(self._compose_query(), *self._compose_filters())
        return chain(query, bind_int(search, 1, hits), self._compose_write())

    def _compose_batch_search(self) -> Any:
        """Compose a search for several queries, (int, String) → byte[].

        The answer has the number of hits of each query before them.
        """
        # reply.reset();
        # List<Map<String, Float>> queries = reader.readValue(text);
        # for (Iterator<Map<String, Float>> iterator = queries.iterator(); iterator.hasNext(); ) {
        #     TopDocs found = searcher.search(query(iterator.next()), hits);
        #     output.writeInt(found.scoreDocs.length);
        #     write(found);
        # }
        # return reply.toByteArray();
        parse, build = self._compose_batch_query()
        array = f"[L{_SCORE_DOC};"
        count = chain(field_getter(_TOP_DOCS, "scoreDocs", array), array_length(array))
        write = sequence(chain(count, self._write_value("writeInt", "int")), self._compose_write())
        search = bind(virtual_method(_SEARCHER, "search", _TOP_DOCS, QUERY, "int"), self._searcher)
        query = chain(build, *self._compose_filters())
        search = filter_argument(swap_arguments(search, _TOP_DOCS, "int", QUERY), 1, query)
        return self._compose_batch(parse, while_has_next(chain(search, write), with_argument="int"))

    def _compose_batch(self, parse: Any, loop: Any) -> Any:
        """Compose a loop over what a string has, (int, String) → byte[]: `parse` is (String) → List.

        `loop`, (int, Iterator) → void, writes to the reply.
        """
        reset, read = (
            bind(virtual_method(BYTE_OUTPUT, name, kind), self._reply)
            for name, kind in (("reset", "void"), ("toByteArray", BYTES))
        )
        loop = filter_argument(loop, 1, chain(parse, virtual_method(LIST, "iterator", ITERATOR)))
        return sequence(reset, loop, drop_argument(drop_argument(read, 0, STRING), 0, "int"))

    def _compose_batch_query(self) -> tuple[Any, Any]:
        """Compose how a batch of queries is parsed, (String) → List, and the next one is built, (Iterator) → Query."""
        parse = self._request.list_parser(f"{MAP}<{STRING},java.lang.Float>")
        return parse, chain(next_element(MAP), self._compose_build())

    def _compose_filters(self) -> Sequence[Any]:
        """Return what adds the filter to a query, (Query) → Query, if there is one."""
        return [self._compose_filtered()] if self._is_filtered else []

    def _compose_filtered(self) -> Any:
        """Compose a query together with the filter, (Query) → Query; the score is that of the query alone."""
        from jnius import autoclass

        # new BooleanQuery.Builder()
        #     .add(query, BooleanClause.Occur.MUST)
        #     .add((Query) filter.get(), BooleanClause.Occur.FILTER)
        #     .build();
        add = virtual_method(_BUILDER, "add", _BUILDER, QUERY, _OCCUR)
        must, only = (bind_object(add, 2, getattr(autoclass(_OCCUR), name)) for name in ("MUST", "FILTER"))
        get = as_type(bind(virtual_method(_REFERENCE, "get", OBJECT), self._filter), QUERY)
        build = as_type(virtual_method(_BUILDER, "build", _BOOLEAN_QUERY), QUERY, _BUILDER)
        with_query = fold_first(constructor(_BUILDER), must)
        return chain(with_query, supply_argument(only, 1, get), build)

    def _compose_query(self) -> Any:
        """Compose the parsing of a query, which Anserini's generator builds, () → Query."""
        # Map<String, Float> weights = floatMapReader.readValue(request.toByteArray());
        # return build(weights);
        return chain(self._request.parse_map("java.lang.Float"), self._compose_build())

    def _compose_build(self) -> Any:
        """Compose the building of a query from what was parsed, (Map) → Query."""
        # return generator.buildQuery("contents", weights);
        build = virtual_method(GENERATOR, "buildQuery", QUERY, STRING, MAP)
        return bind_string(bind(build, self._generator), 0, CONTENTS)

    def _compose_write(self) -> Any:
        """Compose the writing of hits to the reply, (TopDocs) → void."""
        array = field_getter(_TOP_DOCS, "scoreDocs", f"[L{_SCORE_DOC};")
        return chain(array, self._compose_write_array(_SCORE_DOC, "doc"))

    def _compose_write_array(self, kind: str, doc_field: str) -> Any:
        """Compose the writing of an array of hits of the class `kind` to the reply, (kind[]) → void."""
        # for (ScoreDoc hit : Arrays.asList(hits)) {
        #     output.writeInt(hit.doc);
        #     output.writeFloat(hit.score);
        # }
        as_list = static_method("java.util.Arrays", "asList", LIST, "[Ljava.lang.Object;").asFixedArity()
        write_hit = sequence(
            chain(field_getter(kind, doc_field, "int"), self._write_value("writeInt", "int")),
            chain(field_getter(kind, "score", "float"), self._write_value("writeFloat", "float")),
        )
        return chain(
            as_type(as_list, LIST, f"[L{kind};"),
            virtual_method(LIST, "iterator", ITERATOR),
            while_has_next(chain(next_element(kind), write_hit)),
        )

    def _write_value(self, method: str, kind: str) -> Any:
        return bind(virtual_method(_DATA_OUTPUT, method, "void", kind), self._output)

    def _compose_id_lookup(self) -> Any:
        # List<Integer> docs = integerListReader.readValue(request.toByteArray());
        # BinaryDocValues values = MultiDocValues.getBinaryValues(reader, "id");
        # for (Iterator<Integer> iterator = docs.iterator(); iterator.hasNext(); ) {
        #     values.advanceExact(iterator.next());
        #     strings.add(values.binaryValue().utf8ToString());
        # }
        # mapper.writeValue(reply, strings);
        values = static_method(
            "org.apache.lucene.index.MultiDocValues", "getBinaryValues", _DOC_VALUES, _READER, STRING
        )
        advance = as_type(virtual_method(_DOC_VALUES, "advanceExact", "boolean", "int"), "void", _DOC_VALUES, "int")
        advance = filter_argument(advance, 1, as_type(next_element(INTEGER), "int", ITERATOR))
        read = chain(
            virtual_method(_DOC_VALUES, "binaryValue", _BYTES_REF),
            virtual_method(_BYTES_REF, "utf8ToString", STRING),
            add_to_list(self._strings, STRING),
        )
        loop = while_has_next(sequence(advance, drop_argument(read, 1, ITERATOR)), with_argument=_DOC_VALUES)
        return self._compose_lookup(fold_first(bind_string(bind(values, self._reader), 0, ID), loop))

    def _compose_record_lookup(self) -> Any:
        """Compose the reading of records, (int, String) → byte[]; the answer has the length of each before it."""
        # reply.reset();
        # List<Integer> docs = integerListReader.readValue(text);
        # StoredFields fields = reader.storedFields();
        # for (Iterator<Integer> iterator = docs.iterator(); iterator.hasNext(); ) {
        #     String record = fields.document(iterator.next(), Set.of("raw")).get("raw");
        #     byte[] bytes = Objects.requireNonNullElse(record, "\0").getBytes(UTF_8);
        #     output.writeInt(bytes.length);
        #     output.write(bytes);
        # }
        # return reply.toByteArray();
        from jnius import autoclass

        only_raw = autoclass("java.util.HashSet")()
        only_raw.add(RAW)
        document = virtual_method(_STORED_FIELDS, "document", _DOCUMENT, "int", _SET)
        document = bind_object(document, 2, only_raw)
        document = filter_argument(document, 1, as_type(next_element(INTEGER), "int", ITERATOR))
        record = bind_string(virtual_method(_DOCUMENT, "get", STRING, STRING), 1, RAW)
        or_else = as_type(
            static_method("java.util.Objects", "requireNonNullElse", OBJECT, OBJECT, OBJECT), STRING, STRING, STRING
        )
        charset = "java.nio.charset.Charset"
        utf8 = autoclass("java.nio.charset.StandardCharsets").UTF_8
        encode = bind_object(virtual_method(STRING, "getBytes", BYTES, charset), 1, utf8)
        write = sequence(
            chain(array_length(BYTES), self._write_value("writeInt", "int")), self._write_value("write", BYTES)
        )
        read = chain(document, record, bind_string(or_else, 1, _NO_RECORD.decode()), encode, write)
        fields = bind(virtual_method(_READER, "storedFields", _STORED_FIELDS), self._reader)
        loop = fold_first(fields, while_has_next(read, with_argument=_STORED_FIELDS))
        return self._compose_batch(self._request.list_parser(INTEGER), drop_argument(loop, 0, "int"))

    def _compose_lookup(self, collect: Any) -> Any:
        """Compose the reading of document numbers, () → void; `collect`, (Iterator) → void, fills the list."""
        write = virtual_method(_MAPPER, "writeValue", "void", "java.io.OutputStream", OBJECT)
        return sequence(
            chain(self._request.parse_list(INTEGER), virtual_method(LIST, "iterator", ITERATOR), collect),
            bind(write, self._request.mapper, self._reply, self._strings),
        )


def _split_hits(reply: bytes) -> list[Hits]:
    """Return the hits of each query of a batch."""
    values = np.frombuffer(reply, dtype=">i4").astype(np.int32)
    batch, start = list[Hits](), 0
    while start < len(values):
        stop = start + 1 + 2 * int(values[start])
        docs, scores = values[start + 1 : stop].reshape(-1, 2).T.copy()
        batch.append(Hits(docs, scores.view(np.float32)))
        start = stop
    return batch


def _split_records(reply: bytes) -> list[bytes | None]:
    records, start, end = list[bytes | None](), 0, len(reply)
    while start < end:
        stop = start + _LENGTH + int.from_bytes(reply[start : start + _LENGTH])
        record = reply[start + _LENGTH : stop]
        records.append(record if record != _NO_RECORD else None)
        start = stop
    return records
