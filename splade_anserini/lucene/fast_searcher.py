"""Pyserini's LuceneImpactSearcher, reimplemented over `ImpactSearcher`."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import repeat
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

from splade_anserini.errors import InputError, counted
from splade_anserini.lucene.document_idf import document_idf_in, refuse_idf_twice
from splade_anserini.lucene.feedback import check_document_vectors
from splade_anserini.lucene.filters import Filters
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.index_reader import ID, require_impact_index
from splade_anserini.lucene.java.forks import has_own_java
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.query_encoders import (
    QueryEncoder,
    check_query_encoder,
    integer_weight,
    resolve_query_encoder,
)
from splade_anserini.lucene.query_weights import QueryWeights
from splade_anserini.lucene.ranking import Ranking
from splade_anserini.lucene.searcher import Closeable
from splade_anserini.lucene.stored_documents import StoredDocument
from splade_anserini.lucene.token_idf import TokenIdf
from splade_anserini.records import ImpactVector, JsonDocument, StrPath

_CONTENTS_ONLY: Mapping[str, float] = MappingProxyType({})


class Hit(NamedTuple):
    """A hit, with the attributes of Pyserini's hits."""

    docid: str
    score: float
    lucene_docid: int
    searcher: "FastLuceneImpactSearcher"

    def __repr__(self) -> str:
        return f"Hit(docid={self.docid!r}, score={self.score!r}, lucene_docid={self.lucene_docid!r})"

    @property
    def lucene_document(self) -> Any:
        """Lucene's Document with the stored fields; it is read from the index, which must be open."""
        document = self.searcher.doc(self.lucene_docid)
        if document is None or document.docid() != self.docid:
            # The index was changed and reopened since.
            document = self.searcher.doc(self.docid)
        return document and document.lucene_document()

    @property
    def document(self) -> JsonDocument | None:
        """The document as the index stores it, without its vector; None when the index stores none.

        It is read from the index, which must be open; `searcher.documents(hits)` reads those of many hits at once.
        """
        return self.searcher.documents([self])[0]


class FastLuceneImpactSearcher(Closeable):
    """A faster replacement for Pyserini's LuceneImpactSearcher: its methods and attributes, and the same hits.

    Searches are those of `ImpactSearcher`; their scores are Lucene's own, without the millionths that Anserini
    subtracts from tied ones. Searches with feedback or with the encoder type "onnx" are Pyserini's. Threads may share a
    searcher. `set_language` and the argument `fields` work here; Pyserini's call methods that Anserini does not have.

    `query_encoder` is an object with the method `encode(text)`, or a name: of an encoder card, of a directory that
    `export` wrote, or what Pyserini opens by name. A token of a query counts only if ln(documents / documents with the
    token) > `min_idf`. With Pyserini's default, 0, tokens that occur in every document do not count; with -1, all do.
    Unlike in Pyserini, impacts of queries may be multiplied by idf^`query_idf` of their tokens, as search --query-idf
    does; by default, 0, they are not.

    It is also a context manager; one that is not closed is closed after it is freed. Raises `InputError` when
    `index_dir` is not a Lucene index, or the encoder cannot be opened, `IntegrityError` when the index is damaged. A
    warning is logged for an index of texts, and when the encoder does not belong to that of the documents.
    """

    def __init__(
        self,
        index_dir: StrPath,
        query_encoder: QueryEncoder | str | None,
        min_idf: float = 0,
        encoder_type: Literal["pytorch", "onnx"] = "pytorch",
        prebuilt_index_name: str | None = None,
        *,
        query_idf: float = 0.0,
    ) -> None:
        if encoder_type not in {"pytorch", "onnx"}:
            raise InputError(f"The encoder type is {encoder_type!r}.", expected="pytorch or onnx")
        if encoder_type == "onnx" and not isinstance(query_encoder, str):
            raise InputError(
                f"The query encoder {query_encoder!r} is not a name.",
                expected="with the encoder type onnx, the name of an encoder of Anserini, such as SpladeV3",
                do="Leave encoder_type out for objects with encode(text), such as OnnxQueryEncoder.",
            )
        if encoder_type == "onnx" and query_idf:
            raise InputError(
                "query_idf cannot be used with the encoder type onnx, whose queries stay in Java.",
                do="Leave encoder_type out, and pass an encoder such as OnnxQueryEncoder.",
            )
        # As Pyserini's, the constructor has no way to force anything: what does not fit is a warning.
        require_impact_index(index_dir, force=True)
        self.index_dir = index_dir
        self.min_idf = min_idf
        self.encoder_type = encoder_type
        self.prebuilt_index_name = prebuilt_index_name
        self._searcher = ImpactSearcher(index_dir)
        self.idf = TokenIdf(self._searcher)
        try:
            refuse_idf_twice(document_idf_in(index_dir), query_idf, f"index {index_dir}", force=True)
            self._weights = QueryWeights(self._searcher, query_idf)
            self.query_encoder: Any = query_encoder if encoder_type == "onnx" else resolve_query_encoder(query_encoder)
            check_query_encoder(index_dir, self.query_encoder, force=True)
        except BaseException:
            self.close()
            raise

    @classmethod
    def from_prebuilt_index(
        cls,
        prebuilt_index_name: str,
        query_encoder: QueryEncoder | str | None,
        min_idf: float = 0,
        encoder_type: Literal["pytorch", "onnx"] = "pytorch",
        *,
        query_idf: float = 0.0,
    ) -> Self:
        """Open an index that Pyserini provides by its name; Pyserini downloads it when it is first used.

        Raises `InputError` when Pyserini has no such index, or cannot download it.
        """
        from splade_anserini.lucene.pyserini_searcher import download_index

        index_dir = download_index(prebuilt_index_name)
        return cls(index_dir, query_encoder, min_idf, encoder_type, prebuilt_index_name, query_idf=query_idf)

    @staticmethod
    def list_prebuilt_indexes() -> None:
        """Call the method of Pyserini's searcher, which prints."""
        from splade_anserini.lucene.pyserini_searcher import impact_searcher_class

        impact_searcher_class().list_prebuilt_indexes()

    @property
    def num_docs(self) -> int:
        """Number of documents in the index."""
        return self._searcher.documents

    @property
    def query_idf(self) -> float:
        """The power of idf by which impacts of queries are multiplied."""
        return self._weights.alpha

    @property
    def object(self) -> Any:
        """Anserini's SimpleImpactSearcher."""
        return self._pyserinis.object

    def encode(self, query: str) -> Any:
        """Return the impacts of a query's tokens; with the encoder type "onnx", Java's map of them."""
        if self.encoder_type == "onnx":
            return self._pyserinis.encode(query)
        return self.query_encoder.encode(query)

    def search(
        self, q: str, k: int = 10, fields: Mapping[str, float] = _CONTENTS_ONLY, *, filters: Filters = ()
    ) -> list[Hit]:
        """Encode a query and return its best `k` documents; `fields` gives the fields to search and their boosts.

        Unlike in Pyserini, hits fulfil all `filters`, such as ["year>=1990", "category=news"], see
        `LuceneSearcher.filtered`.
        """
        if self._needs_pyserini(fields, filters):
            return self._hits_of_pyserini(self._synchronized().search(q, k))
        searcher = self._searcher.filtered(filters)
        if fields:
            return self._hits(searcher.rank_fields(self._impacts(q), k, fields), q)
        return self._hits(searcher.rank(self._impacts(q), k), q)

    def batch_search(
        self,
        queries: Sequence[str],
        qids: Sequence[str],
        k: int = 10,
        threads: int = 1,
        fields: Mapping[str, float] = _CONTENTS_ONLY,
        *,
        filters: Filters = (),
    ) -> dict[str, list[Hit]]:
        """Search for several queries on `threads` threads; return the hits of each by its id."""
        if len(queries) != len(qids):
            raise InputError(
                f"There are {counted(len(queries), 'query', 'queries')} and {counted(len(qids), 'id')}.",
                expected="one id for each query",
            )
        if fields:
            return {
                qid: self.search(query, k, fields, filters=filters) for qid, query in zip(qids, queries, strict=True)
            }
        if self._needs_pyserini(fields, filters):
            results = self._synchronized().batch_search(queries, qids, k, threads)
            return {qid: self._hits_of_pyserini(results[qid]) for qid in qids}
        vectors = ((qid, self._impacts(query)) for qid, query in zip(qids, queries, strict=True))
        rankings = self._searcher.filtered(filters).rankings(vectors, k, max(threads, 1))
        return {qid: self._hits(ranking, qid) for qid, ranking in rankings}

    def set_analyzer(self, analyzer: Any) -> None:
        """Set the analyzer of the query's tokens; only feedback uses it."""
        self._pyserinis.set_analyzer(analyzer)

    def set_language(self, language: str) -> None:
        """Set the analyzer to that of a language, such as "zh"; only feedback uses it."""
        from jnius import JavaException, autoclass

        try:
            with JAVA_LOCK:
                analyzer = autoclass("io.anserini.analysis.AnalyzerMap").getLanguageSpecificAnalyzer(language)
        except JavaException as error:
            raise InputError(
                f"Anserini has no analyzer for the language {language!r}.", expected="a code such as de or zh"
            ) from error
        self.set_analyzer(analyzer)

    def set_rm3(
        self,
        fb_terms: int = 10,
        fb_docs: int = 10,
        original_query_weight: float = 0.5,
        debug: bool = False,
        filter_terms: bool = True,
    ) -> None:
        """Turn on feedback by RM3. Raises `InputError` unless the index has document vectors."""
        self._check_feedback()
        self._pyserinis.set_rm3(fb_terms, fb_docs, original_query_weight, debug, filter_terms)

    def unset_rm3(self) -> None:
        """Turn off feedback by RM3."""
        self._pyserinis.unset_rm3()

    def is_using_rm3(self) -> bool:
        """Return whether feedback by RM3 is on."""
        return self._has_pyserinis and bool(self._pyserinis.is_using_rm3())

    def set_rocchio(
        self,
        top_fb_terms: int = 10,
        top_fb_docs: int = 10,
        bottom_fb_terms: int = 10,
        bottom_fb_docs: int = 10,
        alpha: float = 1,
        beta: float = 0.75,
        gamma: float = 0,
        debug: bool = False,
        use_negative: bool = False,
    ) -> None:
        """Turn on feedback by Rocchio. Raises `InputError` unless the index has document vectors."""
        self._check_feedback()
        numbers = (top_fb_terms, top_fb_docs, bottom_fb_terms, bottom_fb_docs, alpha, beta, gamma)
        self._pyserinis.set_rocchio(*numbers, debug, use_negative)

    def unset_rocchio(self) -> None:
        """Turn off feedback by Rocchio."""
        self._pyserinis.unset_rocchio()

    def is_using_rocchio(self) -> bool:
        """Return whether feedback by Rocchio is on."""
        return self._has_pyserinis and bool(self._pyserinis.is_using_rocchio())

    def doc(self, docid: str | int) -> StoredDocument | None:
        """Return a document by its id or by Lucene's document number; None if there is no such document."""
        if isinstance(docid, str):
            return self.doc_by_field(ID, docid)
        with JAVA_LOCK, java_errors(f"reading document {docid}"):
            return self._stored(docid) if 0 <= docid < self.num_docs else None

    def doc_by_field(self, field: str, q: str) -> StoredDocument | None:
        """Return the first document whose `field` has the term `q`, such as another id; None if there is none."""
        with JAVA_LOCK, java_errors(f"looking for a document whose {field} is {q}"):
            lucene_docid = self._lucene_docid(q, field)
            return None if lucene_docid is None else self._stored(lucene_docid)

    def document(self, docid: str) -> JsonDocument | None:
        """Return a document as the index stores it; None when it stores none. Raises `InputError` for an unknown id."""
        return self._searcher.document(docid)

    def documents(self, hits: Sequence[Hit]) -> list[JsonDocument | None]:
        """Return the documents of hits as the index stores them, all read at once; None where it stores none."""
        return self._searcher.stored([hit.docid for hit in hits], [hit.lucene_docid for hit in hits])

    def reopen(self) -> bool:
        """Search in what the index holds now; say whether it was changed since it was opened.

        It takes microseconds when it was not. Hits of earlier searches have other numbers then than their documents;
        `doc(hit.docid)` finds these. Feedback is turned off, as its searcher is opened anew.
        """
        searcher = self._searcher.reopened()
        if searcher is self._searcher:
            return False
        if self._has_pyserinis:
            self._pyserinis.close()
            del self._pyserinis
        # The searcher that was is closed when no search needs it any more.
        self._weights, self.idf = QueryWeights(searcher, self.query_idf), TokenIdf(searcher)
        self._searcher = searcher
        return True

    def explain(self, q: str, docid: str) -> Any:
        """Return the score of a document term by term, as `ImpactSearcher.explain` does."""
        return self._searcher.explain(self._impacts(q), docid)

    def close(self) -> None:
        """Close the index."""
        self._searcher.close()
        if self._has_pyserinis and has_own_java():
            self._pyserinis.close()

    @cached_property
    def _pyserinis(self) -> Any:
        """Pyserini's searcher, whose import and opening take seconds."""
        from splade_anserini.lucene.pyserini_searcher import open_pyserini_searcher

        encoder = self.query_encoder if self.encoder_type == "onnx" else _Checked(self, self._weights)
        return open_pyserini_searcher(
            self.index_dir, encoder, self.min_idf, self.encoder_type, self.prebuilt_index_name
        )

    @property
    def _has_pyserinis(self) -> bool:
        return "_pyserinis" in vars(self)

    def _needs_pyserini(self, fields: Mapping[str, float], filters: Filters) -> bool:
        needs = self.encoder_type == "onnx" or self.is_using_rm3() or self.is_using_rocchio()
        for name, value in (("fields", fields), ("filters", filters)):
            if needs and value:
                raise InputError(
                    f"`{name}` cannot be used with feedback or with the encoder type onnx.", do=f"Leave `{name}` out."
                )
        return needs

    def _synchronized(self) -> Any:
        """Return Pyserini's searcher with the threshold of this one, which may have been set since it was opened."""
        self._pyserinis.min_idf = self.min_idf
        return self._pyserinis

    def _check_feedback(self) -> None:
        if self.prebuilt_index_name is None:
            check_document_vectors(self.index_dir)

    def _impacts(self, text: str) -> ImpactVector:
        encoded = self.query_encoder.encode(text)
        return self._weights.weighted(
            {token: integer_weight(token, weight) for token, weight in encoded.items() if self._has_min_idf(token)}
        )

    def _has_min_idf(self, token: str) -> bool:
        return self.min_idf < 0 or self.idf.get(token, -math.inf) > self.min_idf

    def _lucene_docid(self, text: str, field: str = ID) -> int | None:
        from jnius import autoclass

        query = autoclass("org.apache.lucene.search.TermQuery")(
            _term(field, text), signature="(Lorg/apache/lucene/index/Term;)V"
        )
        hits = self._searcher.lucene.search(query, 1).scoreDocs
        return int(hits[0].doc) if hits else None

    def _stored(self, lucene_docid: int) -> StoredDocument:
        return StoredDocument(self._searcher.lucene.getIndexReader().storedFields().document(lucene_docid))

    def _hits(self, ranking: Ranking, query: str) -> list[Hit]:
        self._weights.check_score(query, max(ranking.scores, default=0))
        # The constructor of a named tuple is slow.
        return list(map(tuple.__new__, repeat(Hit), zip(*ranking, repeat(self), strict=False)))

    def _hits_of_pyserini(self, hits: Sequence[Any]) -> list[Hit]:
        with JAVA_LOCK:
            return [Hit(hit.docid, hit.score, hit.lucene_docid, self) for hit in hits]


class _Checked:
    """The query encoder of a searcher, for Pyserini: weights that are not non-negative integers are refused, and those
    that are, are multiplied by idf as the searcher does.
    """

    def __init__(self, searcher: FastLuceneImpactSearcher, weights: QueryWeights) -> None:
        self._searcher, self._weights = searcher, weights

    def encode(self, text: str) -> ImpactVector:
        encoded = self._searcher.query_encoder.encode(text)
        return self._weights.weighted({token: integer_weight(token, weight) for token, weight in encoded.items()})


def _term(field: str, text: str) -> Any:
    from jnius import autoclass

    return autoclass("org.apache.lucene.index.Term")(field, text)
