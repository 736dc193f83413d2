"""Pyserini's LuceneImpactSearcher, reimplemented over `ImpactSearcher`: its methods for searching and reading."""

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, Protocol

from splade_anserini.errors import InputError, counted
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.index_reader import CONTENTS, ID, RAW
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.ranking import Ranking
from splade_anserini.lucene.searcher import Closeable
from splade_anserini.records import StrPath


class QueryEncoder(Protocol):
    """The interface of Pyserini's query encoders."""

    def encode(self, query: str) -> Mapping[str, int]:
        """Return the impacts of a query's tokens."""
        ...


class Hit(NamedTuple):
    """A hit, with the attributes of Pyserini's hits."""

    docid: str
    score: float
    lucene_docid: int


class FastLuceneImpactSearcher(Closeable):
    """A faster replacement for Pyserini's LuceneImpactSearcher: the same hits in the same order.

    It has LuceneImpactSearcher's `search(q, k)`, `batch_search(queries, qids, k, threads)`, `doc`, `close`, `num_docs`,
    `query_encoder` and `min_idf`; hits have `docid`, `score` and `lucene_docid`, documents `docid()`, `id()`,
    `contents()`, `raw()`, `get(field)` and `lucene_document()`. It is also a context manager.

    It does not have `from_prebuilt_index`, `list_prebuilt_indexes`, `encode`, `doc_by_field`, `set_analyzer`,
    `set_language`, feedback (`set_rm3`, `unset_rm3`, `is_using_rm3`, `set_rocchio`, `unset_rocchio`,
    `is_using_rocchio`), the argument `fields` of the searches, encoders by name or `encoder_type`, or the attributes
    `idf`, `index_dir`, `object` and `prebuilt_index_name`. For these, use LuceneImpactSearcher.

    As there, a token counts only if ln(documents / documents with the token) > `min_idf`; but the default is -1, so
    that tokens of all documents count. Scores are Lucene's own, without the millionths that Anserini subtracts from
    tied ones.
    """

    def __init__(self, index_dir: StrPath, query_encoder: QueryEncoder, min_idf: float = -1) -> None:
        # A string, which Pyserini takes as the name of an encoder, also has a method `encode`.
        encoder: object = query_encoder
        if isinstance(encoder, str) or not hasattr(encoder, "encode"):
            raise InputError(
                f"The query encoder {query_encoder!r} has no method encode(text).",
                expected="an object whose encode(text) returns a dictionary from tokens to impacts",
                do="To open an encoder by its name, use OnnxQueryEncoder or TorchQueryEncoder.",
            )
        self.query_encoder = query_encoder
        self.min_idf = min_idf
        self._searcher = ImpactSearcher(index_dir)
        self._idf: dict[str, float] = {}

    @property
    def num_docs(self) -> int:
        """Number of documents in the index."""
        return self._searcher.documents

    def search(self, q: str, k: int = 10) -> list[Hit]:
        """Encode a query and return its best `k` documents."""
        return _hits(self._searcher.rank(self._impacts(q), k))

    def batch_search(
        self, queries: Sequence[str], qids: Sequence[str], k: int = 10, threads: int = 1
    ) -> dict[str, list[Hit]]:
        """Search for several queries on `threads` threads; return the hits of each by its id."""
        if len(queries) != len(qids):
            raise InputError(
                f"There are {counted(len(queries), 'query', 'queries')} and {counted(len(qids), 'id')}.",
                expected="one id for each query",
            )
        vectors = ((qid, self._impacts(query)) for qid, query in zip(qids, queries, strict=True))
        rankings = self._searcher.rankings(vectors, k, max(threads, 1))
        return {qid: _hits(ranking) for qid, ranking in rankings}

    def doc(self, docid: str | int) -> "StoredDocument | None":
        """Return a document by its id or by Lucene's document number; None if there is no such document."""
        with JAVA_LOCK, java_errors(f"reading document {docid}"):
            lucene_docid = self._lucene_docid(docid) if isinstance(docid, str) else docid
            if lucene_docid is None or not 0 <= lucene_docid < self.num_docs:
                return None
            return StoredDocument(self._searcher.lucene.getIndexReader().storedFields().document(lucene_docid))

    def close(self) -> None:
        """Close the index."""
        self._searcher.close()

    def _impacts(self, text: str) -> dict[str, int]:
        encoded = self.query_encoder.encode(text)
        return {token: _integer(token, weight) for token, weight in encoded.items() if self._has_min_idf(token)}

    def _has_min_idf(self, token: str) -> bool:
        if self.min_idf < 0:
            return True
        if token not in self._idf:
            with JAVA_LOCK:
                frequency = self._searcher.lucene.getIndexReader().docFreq(_term(CONTENTS, token))
            self._idf[token] = math.log(self.num_docs / frequency) if frequency else -math.inf
        return self._idf[token] > self.min_idf

    def _lucene_docid(self, docid: str) -> int | None:
        from jnius import autoclass

        query = autoclass("org.apache.lucene.search.TermQuery")(
            _term(ID, docid), signature="(Lorg/apache/lucene/index/Term;)V"
        )
        hits = self._searcher.lucene.search(query, 1).scoreDocs
        return int(hits[0].doc) if hits else None


class StoredDocument:
    """A document of the index, with the methods of Pyserini's documents."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def docid(self) -> str:
        """Return the id."""
        return str(self._document.get(ID))

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
        value: str | None = self._document.get(field)
        return value

    def lucene_document(self) -> Any:
        """Return Lucene's Document."""
        return self._document


def _hits(ranking: Ranking) -> list[Hit]:
    # The constructor of a named tuple is slow.
    return list(map(tuple.__new__, repeat(Hit), zip(*ranking, strict=True)))


def _integer(token: str, weight: float) -> int:
    if weight < 0 or weight != int(weight):
        raise InputError(
            f"The weight of the query token {token!r} is {weight}.",
            expected="non-negative integers: Lucene rejects negative weights, and Pyserini truncates fractions",
            do="Quantize the query with the scale of the documents, as OnnxQueryEncoder does.",
        )
    return int(weight)


def _term(field: str, text: str) -> Any:
    from jnius import autoclass

    return autoclass("org.apache.lucene.index.Term")(field, text)
