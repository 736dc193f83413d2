"""One thread's way into an index: a query vector in, ranked hits out, in two calls to Java."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from splade_anserini.lucene.doc_lookup import DocFinder, DocScorer
from splade_anserini.lucene.java import method_handles as h
from splade_anserini.lucene.java.json_request import BUFFER, JsonRequest
from splade_anserini.lucene.schema import CONTENTS, ID
from splade_anserini.records import ImpactVector

_READER, _DOC_VALUES, _BYTES_REF = (
    "org.apache.lucene.index.IndexReader",
    "org.apache.lucene.index.BinaryDocValues",
    "org.apache.lucene.util.BytesRef",
)
_QUERY, _TOP, _HITS = (f"org.apache.lucene.search.{name}" for name in ("Query", "TopDocs", "ScoreDoc"))
_GENERATOR = "io.anserini.search.query.BagOfWordsQueryGenerator"
_OUTPUT, _MAPPER = "java.io.DataOutputStream", "com.fasterxml.jackson.databind.ObjectMapper"
_ARRAY_LIST, _MAP = "java.util.ArrayList", "java.util.Map"


class Hits(NamedTuple):
    """Documents that were found, best first."""

    docs: npt.NDArray[np.int32]
    """[found], Lucene's numbers."""
    scores: npt.NDArray[np.float32]
    """[found]."""


class Lane:
    """Searches for one thread at a time; what crosses to Java and back lies in two buffers of its own."""

    def __init__(self, reader: Any, searcher: Any) -> None:
        from jnius import autoclass

        self._reader, self._searcher = reader, searcher
        self._request, self._reply = JsonRequest(), autoclass(BUFFER)()
        self._output = autoclass(_OUTPUT)(self._reply)
        self._generator = autoclass(_GENERATOR)()
        self._ids: Any = autoclass(_ARRAY_LIST)()
        self._lookup = h.task(self._lookup_handle())
        self._searches: dict[int, Any] = {}
        self._scorer: DocScorer | None = None
        self._finder: DocFinder | None = None

    def ask(self, query: ImpactVector, hits: int) -> Any:
        """Return a task for Java that searches for the best `hits` documents; `answer` has them when it is done."""
        search = self._searches.get(hits)
        if search is None:
            search = self._searches[hits] = h.task(self._search_handle(hits))
        return self._prepared(search, orjson.dumps(query))

    def ask_about(self, query: ImpactVector, docs: Sequence[int]) -> Any:
        """Return a task for Java that scores documents, given by Lucene's numbers.

        `answer` has all of them when it is done, best first; those that share no token with `query` at the end, with 0.
        """
        if self._scorer is None:
            self._scorer = DocScorer(self._searcher, self._query_handle(), self._write_handle())
        return self._prepared(self._scorer.load(docs), orjson.dumps(query))

    def find(self, ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """Return Lucene's numbers of the documents that have one of these ids, in no order: those that there are."""
        if self._finder is None:
            self._finder = DocFinder(self._searcher, self._request, self._write_handle())
        # A collection may hold an id twice, so what is full may not be all.
        hits = 1 << len(ids).bit_length()
        while True:
            self._prepared(self._finder.task(hits), orjson.dumps(list(ids))).call()
            docs = self.answer().docs
            if len(docs) < hits:
                return docs
            hits *= 4

    def answer(self) -> Hits:
        """Return what was found, as Lucene ranks it."""
        big_endian = np.frombuffer(self._reply.toByteArray().tostring(), dtype=np.int32)
        docs, scores = big_endian.byteswap().reshape(-1, 2).T.copy()
        return Hits(docs, scores.view(np.float32))

    def external_ids(self, docs: Sequence[int]) -> list[str]:
        """Return the collection's ids of documents, given by Lucene's numbers in ascending order."""
        self._ids.clear()
        self._prepared(self._lookup, orjson.dumps(list(docs))).call()
        ids: list[str] = orjson.loads(self._reply.toByteArray().tostring())
        return ids

    def _prepared(self, task: Any, request: bytes) -> Any:
        self._reply.reset()
        self._request.write(request)
        return task

    def _search_handle(self, hits: int) -> Any:
        """Compose: build the query, search, and write the hits."""
        search = h.virtual("org.apache.lucene.search.IndexSearcher", "search", _TOP, _QUERY, "int")
        search = h.bound_int(h.bound(search, self._searcher), 1, hits)
        return h.chain(self._query_handle(), search, self._write_handle())

    def _query_handle(self) -> Any:
        """Compose: parse the query and build it as Anserini does, () → Query."""
        query = self._request.parsed(self._request.mapper.readerForMapOf(h.java_class("java.lang.Float")), _MAP)
        build = h.virtual(_GENERATOR, "buildQuery", _QUERY, h.STRING, _MAP)
        return h.chain(query, h.bound(build, self._generator, _java_string(CONTENTS)))

    def _write_handle(self) -> Any:
        """Compose: write number and score of each hit, (TopDocs) → void."""
        array = f"[L{_HITS};"
        as_list = h.static("java.util.Arrays", "asList", h.LIST, "[Ljava.lang.Object;").asFixedArity()
        write = h.sequence(
            h.chain(h.field(_HITS, "doc", "int"), self._writing("writeInt", "int")),
            h.chain(h.field(_HITS, "score", "float"), self._writing("writeFloat", "float")),
        )
        return h.chain(
            h.field(_TOP, "scoreDocs", array),
            h.typed(as_list, h.LIST, array),
            h.virtual(h.LIST, "iterator", h.ITERATOR),
            h.while_next(h.chain(h.next_of(_HITS), write)),
        )

    def _lookup_handle(self) -> Any:
        """Compose: parse the numbers, read the id of each from the doc values, write all of them as JSON."""
        docs = self._request.parsed(self._request.mapper.readerForListOf(h.java_class("java.lang.Integer")), h.LIST)
        values = h.static("org.apache.lucene.index.MultiDocValues", "getBinaryValues", _DOC_VALUES, _READER, h.STRING)
        advance = h.typed(h.virtual(_DOC_VALUES, "advanceExact", "boolean", "int"), "void", _DOC_VALUES, "int")
        advance = h.on_argument(advance, 1, h.typed(h.next_of("java.lang.Integer"), "int", h.ITERATOR))
        add = h.typed(h.bound(h.virtual(_ARRAY_LIST, "add", "boolean", h.OBJECT), self._ids), "void", h.STRING)
        read = h.chain(
            h.virtual(_DOC_VALUES, "binaryValue", _BYTES_REF), h.virtual(_BYTES_REF, "utf8ToString", h.STRING), add
        )
        loop = h.while_next(h.sequence(advance, h.drop_argument(read, 1, h.ITERATOR)), with_argument=_DOC_VALUES)
        fresh = h.bound(values, self._reader, _java_string(ID))
        write = h.virtual(_MAPPER, "writeValue", "void", "java.io.OutputStream", h.OBJECT)
        return h.sequence(
            h.chain(docs, h.virtual(h.LIST, "iterator", h.ITERATOR), h.fold_first(fresh, loop)),
            h.bound(write, self._request.mapper, self._reply, self._ids),
        )

    def _writing(self, name: str, kind: str) -> Any:
        return h.bound(h.virtual(_OUTPUT, name, "void", kind), self._output)


def _java_string(text: str) -> Any:
    from jnius import autoclass

    return autoclass(h.STRING)(text)
