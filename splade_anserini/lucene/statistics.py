"""What an impact index knows of its tokens and documents, counted in one pass through the terms inside Java."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from splade_anserini.lucene.counting import opened_index
from splade_anserini.lucene.java import method_handles as h
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.json_request import BUFFER
from splade_anserini.lucene.java.threads import JAVA_LOCK, JavaThreads
from splade_anserini.lucene.schema import CONTENTS

_ENUM, _POSTINGS = "org.apache.lucene.index.TermsEnum", "org.apache.lucene.index.PostingsEnum"
_TERMS, _READER = "org.apache.lucene.index.Terms", "org.apache.lucene.index.IndexReader"
_BYTES_REF, _ITERATOR = "org.apache.lucene.util.BytesRef", "org.apache.lucene.util.BytesRefIterator"
_ARRAY_LIST, _OUTPUT, _INTS = "java.util.ArrayList", "java.io.DataOutputStream", "java.nio.IntBuffer"
_NO_MORE_DOCS = 2**31 - 1
_WITHOUT_FREQUENCIES = 0


class IndexStatistics(NamedTuple):
    """Counts that the postings of an index give."""

    documents: int
    """Those with at least one token: an index holds no others."""
    frequencies: dict[str, int]
    """Token → documents that have it, in the order of the index."""
    lengths: npt.NDArray[np.int32]
    """[documents], tokens of each, by Lucene's numbers."""

    @property
    def postings(self) -> int:
        """Pairs of a token and a document that has it."""
        return sum(self.frequencies.values())


def index_statistics(index: Path) -> IndexStatistics:
    """Read every posting of an index once. Raises `InputError` when `index` is no Lucene index."""
    with JAVA_LOCK, opened_index(index) as reader, java_errors(f"counting the postings of {index}"):
        return _Pass(reader).counted()


class _Pass:
    """One pass through the terms of an index, and what it counts on the way."""

    def __init__(self, reader: Any) -> None:
        from jnius import autoclass

        self._reader, self._documents = reader, int(reader.maxDoc())
        self._tokens: Any = autoclass(_ARRAY_LIST)()
        self._frequencies = autoclass(BUFFER)()
        self._output = autoclass(_OUTPUT)(self._frequencies)
        self._lengths = autoclass("java.nio.ByteBuffer").allocate(4 * self._documents)
        self._counts = self._lengths.asIntBuffer()

    def counted(self) -> IndexStatistics:
        """Count; a large index takes minutes, in which Ctrl-C is heard."""
        from jnius import autoclass

        if self._reader.getSumDocFreq(CONTENTS) > 0:
            with JavaThreads(1) as pool:
                pool.finish(h.task(self._handle()))
        json = autoclass("com.fasterxml.jackson.databind.ObjectMapper")().writeValueAsBytes(self._tokens)
        tokens, frequencies = orjson.loads(json.tostring()), _ints(self._frequencies.toByteArray())
        return IndexStatistics(
            self._documents, dict(zip(tokens, frequencies.tolist(), strict=True)), _ints(self._lengths.array())
        )

    def _handle(self) -> Any:
        """Compose: take the terms of the index, and count each."""
        from jnius import autoclass

        get = h.static("org.apache.lucene.index.MultiTerms", "getTerms", _TERMS, _READER, h.STRING)
        return h.chain(
            h.bound(get, self._reader, autoclass(h.STRING)(CONTENTS)),
            h.virtual(_TERMS, "iterator", _ENUM),
            h.while_true(self._another(), self._counted()),
        )

    def _another(self) -> Any:
        """Compose: go to the next term and say whether there is one, (TermsEnum) → boolean."""
        there = h.typed(h.static("java.util.Objects", "nonNull", "boolean", h.OBJECT), "boolean", _BYTES_REF)
        return h.typed(h.chain(h.virtual(_ITERATOR, "next", _BYTES_REF), there), "boolean", _ENUM)

    def _counted(self) -> Any:
        """Compose: note the term and its frequency, and count it for each of its documents, (TermsEnum) → void."""
        add = h.typed(h.bound(h.virtual(_ARRAY_LIST, "add", "boolean", h.OBJECT), self._tokens), "void", h.STRING)
        note = h.chain(h.virtual(_ENUM, "term", _BYTES_REF), h.virtual(_BYTES_REF, "utf8ToString", h.STRING), add)
        write = h.bound(h.virtual(_OUTPUT, "writeInt", "void", "int"), self._output)
        postings = h.virtual(_ENUM, "postings", _POSTINGS, _POSTINGS, "int")
        postings = h.bound_int(postings, 2, _WITHOUT_FREQUENCIES)
        postings = h.without(postings, 1, _POSTINGS)
        more = h.chain(h.virtual(_POSTINGS, "nextDoc", "int"), h.not_equal(_NO_MORE_DOCS))
        document = h.virtual(_POSTINGS, "docID", "int")
        return h.sequence(
            note,
            h.chain(h.virtual(_ENUM, "docFreq", "int"), write),
            h.chain(postings, h.while_true(more, h.chain(document, self._one_more()))),
        )

    def _one_more(self) -> Any:
        """Compose: add one to the count of a document, (int) → void."""
        more = h.chain(
            h.bound(h.virtual(_INTS, "get", "int", "int"), self._counts),
            h.bound_int(h.static("java.lang.Integer", "sum", "int", "int", "int"), 0, 1),
        )
        put = h.typed(h.bound(h.virtual(_INTS, "put", _INTS, "int", "int"), self._counts), "void", "int", "int")
        return h.duplicate_argument(h.on_argument(put, 1, more), "void", "int")


def _ints(big_endian: Any) -> npt.NDArray[np.int32]:
    return np.frombuffer(big_endian.tostring(), dtype=np.int32).byteswap()
