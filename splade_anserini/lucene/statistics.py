"""Document frequencies and document lengths of an impact index, counted in one pass over its postings inside Java."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from splade_anserini.lucene.index_reader import CONTENTS, opened_index
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.method_handles import (
    ARRAY_LIST,
    BYTE_OUTPUT,
    INTEGER,
    OBJECT,
    STRING,
    add_to_list,
    as_callable,
    as_type,
    bind,
    bind_int,
    bind_string,
    chain,
    duplicate_argument,
    filter_argument,
    less_than,
    null_argument,
    sequence,
    static_method,
    virtual_method,
    while_true,
)
from splade_anserini.lucene.java.threads import JAVA_LOCK, JavaThreads
from splade_anserini.records import StrPath

_TERMS_ENUM, _POSTINGS_ENUM = "org.apache.lucene.index.TermsEnum", "org.apache.lucene.index.PostingsEnum"
_TERMS, _READER = "org.apache.lucene.index.Terms", "org.apache.lucene.index.IndexReader"
_BYTES_REF, _ITERATOR = "org.apache.lucene.util.BytesRef", "org.apache.lucene.util.BytesRefIterator"
_DATA_OUTPUT, _INT_BUFFER = "java.io.DataOutputStream", "java.nio.IntBuffer"
_NO_MORE_DOCS = 2**31 - 1
_WITHOUT_FREQUENCIES = 0


class IndexStatistics(NamedTuple):
    """Statistics of the postings of an index."""

    documents: int
    """Documents in the index; those without a token are not indexed."""
    frequencies: dict[str, int]
    """Token → number of documents that contain it, in the order of the index."""
    lengths: npt.NDArray[np.int32]
    """[documents], distinct tokens of each document, by Lucene's internal document number."""

    @property
    def postings(self) -> int:
        """Number of pairs of a token and a document that contains it."""
        return sum(self.frequencies.values())


def index_statistics(index: StrPath) -> IndexStatistics:
    """Count the postings of an index in one pass. Raises `InputError` when `index` is not a valid Lucene index."""
    with JAVA_LOCK, opened_index(index) as reader, java_errors(f"counting the postings of {index}"):
        return _PostingsCounter(reader).count()


class _PostingsCounter:
    """One pass over the terms of an index, with the Java buffers that it fills."""

    def __init__(self, reader: Any) -> None:
        from jnius import autoclass

        self._reader, self._documents = reader, int(reader.maxDoc())
        self._tokens: Any = autoclass(ARRAY_LIST)()
        self._frequencies = autoclass(BYTE_OUTPUT)()
        self._output = autoclass(_DATA_OUTPUT)(self._frequencies)
        self._lengths = autoclass("java.nio.ByteBuffer").allocate(4 * self._documents)
        self._length_ints = self._lengths.asIntBuffer()

    def count(self) -> IndexStatistics:
        """Run the pass; a large index takes minutes, and Ctrl-C interrupts it."""
        from jnius import autoclass

        if self._reader.getSumDocFreq(CONTENTS) > 0:
            with JavaThreads(1) as pool:
                pool.call(as_callable(self._compose()))
        json = autoclass("com.fasterxml.jackson.databind.ObjectMapper")().writeValueAsBytes(self._tokens)
        tokens, frequencies = orjson.loads(json.tostring()), _ints(self._frequencies.toByteArray())
        return IndexStatistics(
            self._documents, dict(zip(tokens, frequencies.tolist(), strict=True)), _ints(self._lengths.array())
        )

    def _compose(self) -> Any:
        """Compose the loop over the terms."""

        # TermsEnum terms = MultiTerms.getTerms(reader, "contents").iterator();
        # while (Objects.nonNull(terms.next())) {
        #     countTerm(terms);
        # }
        get_terms = static_method("org.apache.lucene.index.MultiTerms", "getTerms", _TERMS, _READER, STRING)
        not_null = as_type(static_method("java.util.Objects", "nonNull", "boolean", OBJECT), "boolean", _BYTES_REF)
        has_term = as_type(chain(virtual_method(_ITERATOR, "next", _BYTES_REF), not_null), "boolean", _TERMS_ENUM)
        return chain(
            bind_string(bind(get_terms, self._reader), 0, CONTENTS),
            virtual_method(_TERMS, "iterator", _TERMS_ENUM),
            while_true(has_term, self._count_term()),
        )

    def _count_term(self) -> Any:
        """Compose the body of the loop, (TermsEnum) → void."""
        # void countTerm(TermsEnum terms) {
        #     tokens.add(terms.term().utf8ToString());
        #     output.writeInt(terms.docFreq());
        #     PostingsEnum postings = terms.postings(null, PostingsEnum.NONE);
        #     while (postings.nextDoc() < DocIdSetIterator.NO_MORE_DOCS) {
        #         increment(postings.docID());
        #     }
        # }
        term = chain(
            virtual_method(_TERMS_ENUM, "term", _BYTES_REF), virtual_method(_BYTES_REF, "utf8ToString", STRING)
        )
        write_int = bind(virtual_method(_DATA_OUTPUT, "writeInt", "void", "int"), self._output)
        postings = virtual_method(_TERMS_ENUM, "postings", _POSTINGS_ENUM, _POSTINGS_ENUM, "int")
        postings = null_argument(bind_int(postings, 2, _WITHOUT_FREQUENCIES), 1, _POSTINGS_ENUM)
        has_document = chain(virtual_method(_POSTINGS_ENUM, "nextDoc", "int"), less_than(_NO_MORE_DOCS))
        count_document = chain(virtual_method(_POSTINGS_ENUM, "docID", "int"), self._increment())
        return sequence(
            chain(term, add_to_list(self._tokens, STRING)),
            chain(virtual_method(_TERMS_ENUM, "docFreq", "int"), write_int),
            chain(postings, while_true(has_document, count_document)),
        )

    def _increment(self) -> Any:
        """Compose the step that adds one to the length of a document, (int) → void."""
        # void increment(int doc) {
        #     lengths.put(doc, Integer.sum(1, lengths.get(doc)));
        # }
        incremented = chain(
            bind(virtual_method(_INT_BUFFER, "get", "int", "int"), self._length_ints),
            bind_int(static_method(INTEGER, "sum", "int", "int", "int"), 0, 1),
        )
        put = bind(virtual_method(_INT_BUFFER, "put", _INT_BUFFER, "int", "int"), self._length_ints)
        put = as_type(put, "void", "int", "int")
        return duplicate_argument(filter_argument(put, 1, incremented), "void", "int")


def _ints(big_endian: Any) -> npt.NDArray[np.int32]:
    return np.frombuffer(big_endian.tostring(), dtype=np.int32).byteswap()
