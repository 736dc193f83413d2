"""A transformer that scores documents by their texts."""

from collections.abc import Sequence

import pandas as pd
import pyterrier as pt

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.encoding import Encoder
from splade_anserini.lucene.searcher import float32
from splade_anserini.pyterrier.encoders import DocumentEncoder, QueryEncoder
from splade_anserini.pyterrier.frames import QUERY_TOKS, TOKS, Described, reranked, texts, vectors
from splade_anserini.records import ImpactVector, StrPath
from splade_anserini.vectors.dot_product import dot_product


class ImpactScorer(Described, pt.Transformer):
    """Scores the documents of a ranking by their texts, and ranks them by these scores.

    Vectors that are there, `query_toks` and `toks`, are used; else `query` and the `fields` of the documents are
    encoded, each once, with `encoder` and the query encoder that belongs to it. A score is the dot product of the
    impacts, as in a search of an index of these documents with a `query_idf` of 0: texts alone have no idf.
    """

    def __init__(
        self,
        encoder: Encoder | StrPath = DEFAULT_ENCODER,
        *,
        fields: Sequence[str] = ("text",),
        scale: float | None = None,
    ) -> None:
        self.encoder, self.fields, self.scale = encoder, tuple(fields), scale
        self._documents = DocumentEncoder(encoder, fields=fields, scale=scale)
        self._queries = QueryEncoder(encoder, scale=scale)

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the documents of each query, best first, with new `score` and `rank`."""
        with pt.validate.any(inp) as validation:
            for query in (QUERY_TOKS, "query"):
                for document in ([TOKS], list(self.fields)):
                    validation.result_frame([query, *document], mode=query)
        scores = [
            float32(dot_product(query, document))
            for query, document in zip(self._query_vectors(inp), self._document_vectors(inp), strict=True)
        ]
        return reranked(inp, scores)

    def _query_vectors(self, frame: pd.DataFrame) -> list[ImpactVector]:
        if QUERY_TOKS in frame.columns:
            return vectors(frame, QUERY_TOKS)
        return self._queries.encode(texts(frame, ["query"]))

    def _document_vectors(self, frame: pd.DataFrame) -> list[ImpactVector]:
        if TOKS in frame.columns:
            return vectors(frame, TOKS)
        contents = texts(frame, self.fields)
        distinct = list(dict.fromkeys(contents))
        encoded = dict(zip(distinct, self._documents.encode(distinct), strict=True))
        return [encoded[text] for text in contents]
