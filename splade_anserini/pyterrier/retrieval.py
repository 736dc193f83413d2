"""Transformers that search an impact index, or score documents by it."""

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
import pyterrier as pt

from splade_anserini.encoding import Encoder
from splade_anserini.errors import InputError
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.lucene.filters import Filters
from splade_anserini.pyterrier.encoders import query_vectors
from splade_anserini.pyterrier.frames import QUERY_TOKS, Described, rankings, reranked, rows_by_query, texts, vectors
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from splade_anserini.records import ImpactVector


class ImpactRetriever(Described, pt.Transformer):
    """Finds the best `num_results` documents of each query, by `query_toks` or else by `query`.

    `index` is an `ImpactIndex` or what `ImpactIndex.open` takes. Queries without `query_toks` are encoded with
    `query_encoder`, by default the encoder that the index was made with. Impacts of queries, also of `query_toks`, are
    multiplied by idf^`query_idf` of their tokens in the index, as by `ImpactIndex.open`. With `include_text`, documents
    have the column `text`, and with `include_fields` a column for each of these fields, None where a document lacks it;
    the index must store them. They fulfil all `filters`, such as "year>=1990". Scores are dot products of impacts; tied
    ones are lowered by the least that float32 can represent, in ascending order of docno, so that every measure sees
    the order of `rank`.
    """

    def __init__(
        self,
        index: ImpactIndex | StrPath,
        *,
        num_results: int = 1000,
        query_encoder: Encoder | StrPath | None = None,
        query_idf: float | None = None,
        include_text: bool = False,
        include_fields: Sequence[str] = (),
        filters: Filters = (),
    ) -> None:
        if num_results < 1:
            raise InputError(f"num_results must be at least 1, got {num_results}.")
        self.index, self.num_results, self.query_encoder = index, num_results, query_encoder
        self.query_idf, self.include_text = query_idf, include_text
        self.include_fields, self.filters = include_fields, filters
        self._index = _opened(index, query_encoder, query_idf)

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the hits of each query, best first, with the columns of the query."""
        with pt.validate.any(inp) as validation:
            validation.query_frame([QUERY_TOKS], mode=QUERY_TOKS)
            validation.query_frame(["query"], mode="query")
        return rankings(inp, self._results(_query_vectors(inp, self._index)))

    def fuse_rank_cutoff(self, k: int) -> Self:
        """Return the retriever that finds at most `k` documents; PyTerrier calls it for `retriever % k`."""
        if k >= self.num_results:
            return self
        fused = copy.copy(self)
        fused.num_results = k
        return fused

    def _results(self, queries: "list[ImpactVector]") -> Iterator[dict[str, list[Any]]]:
        with_text = self.include_text or bool(self.include_fields)
        for hits in self._index.search_vectors(queries, self.num_results, with_text=with_text, filters=self.filters):
            result: dict[str, list[Any]] = {"docno": [hit.id for hit in hits], "score": [hit.score for hit in hits]}
            if self.include_text:
                result["text"] = [_stored(hit.text) for hit in hits]
            for name in self.include_fields:
                result[name] = [_stored(hit.document).get(name) for hit in hits]
            yield result


class ImpactReranker(Described, pt.Transformer):
    """Scores the documents of a ranking, given by `docno`, by an impact index, and ranks them by these.

    `index`, `query_encoder` and `query_idf` are those of `ImpactRetriever`. The scores are those of a search, 0 for a
    document that shares no token with its query. Raises `InputError` for a document that the index does not contain.
    """

    def __init__(
        self,
        index: ImpactIndex | StrPath,
        *,
        query_encoder: Encoder | StrPath | None = None,
        query_idf: float | None = None,
    ) -> None:
        self.index, self.query_encoder, self.query_idf = index, query_encoder, query_idf
        self._index = _opened(index, query_encoder, query_idf)

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the documents of each query, best first, with new `score` and `rank`."""
        with pt.validate.any(inp) as validation:
            validation.result_frame([QUERY_TOKS], mode=QUERY_TOKS)
            validation.result_frame(["query"], mode="query")
        queries, docnos = _query_vectors(inp, self._index), list(inp["docno"])
        scores = [0.0] * len(docnos)
        for rows in rows_by_query(inp):
            query = self._index.weighted(queries[rows[0]])
            of_query = self._index.searcher.scores(query, [docnos[row] for row in rows])
            for row, score in zip(rows, of_query, strict=True):
                scores[row] = score
        return reranked(inp, scores)


def _opened(
    index: ImpactIndex | StrPath, query_encoder: Encoder | StrPath | None, query_idf: float | None
) -> ImpactIndex:
    if not isinstance(index, ImpactIndex):
        return ImpactIndex.open(index, query_encoder=query_encoder, query_idf=query_idf)
    if query_encoder is not None:
        raise InputError("An ImpactIndex has its query encoder.", do="Give query_encoder to ImpactIndex.")
    if query_idf is not None:
        raise InputError("An ImpactIndex has its power of idf.", do="Give query_idf to ImpactIndex.")
    return index


def _query_vectors(frame: pd.DataFrame, index: ImpactIndex) -> "list[ImpactVector]":
    """Return the impact vector of each row's query."""
    if QUERY_TOKS in frame.columns:
        return vectors(frame, QUERY_TOKS)
    queries = texts(frame, ["query"])
    return query_vectors(queries, index.query_encoder) if queries else []


def _stored[T](stored: T | None) -> T:
    if stored is None:
        raise InputError(
            "The index does not store texts.",
            do="Index with --store-text, or leave out include_text and include_fields.",
        )
    return stored
