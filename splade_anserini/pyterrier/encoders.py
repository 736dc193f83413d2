"""Transformers that encode texts as impact vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import pyterrier as pt

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.encoding import (
    Encoder,
    ImpactQueryEncoder,
    SpladeDocumentEncoder,
    default_scale,
    open_query_encoder,
)
from splade_anserini.pyterrier.frames import QUERY_TOKS, TOKS, Described, texts
from splade_anserini.records import Document, Query, StrPath
from splade_anserini.retrieval.query_vectors import encode_queries, prune_queries

if TYPE_CHECKING:
    from splade_anserini.records import ImpactVector


class DocumentEncoder(Described, pt.Transformer):
    """Adds the impact vectors of documents: `text` → `toks`, token → impact.

    `encoder` is what `open_encoder` takes or returns. A text is the `fields` of a document that are not empty, with
    spaces between. impact = round(weight × `scale`), by default the scale of an encoder that is given by its name, else
    100; `top_k` keeps the strongest tokens (static pruning).
    """

    batch_size = 1024
    """Documents that an indexing pipeline encodes at once."""

    def __init__(
        self,
        encoder: Encoder | StrPath = DEFAULT_ENCODER,
        *,
        fields: Sequence[str] = ("text",),
        scale: float | None = None,
        top_k: int | None = None,
    ) -> None:
        self.encoder, self.fields, self.scale, self.top_k = encoder, tuple(fields), scale, top_k
        self._encoder = SpladeDocumentEncoder(
            encoder, scale=scale or default_scale(encoder), top_k=top_k, contents=False
        )

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with the column `toks`."""
        pt.validate.columns(inp, includes=list(self.fields))
        return inp.assign(**{TOKS: self.encode(texts(inp, self.fields))})

    def encode(self, contents: Sequence[str]) -> "list[ImpactVector]":
        """Return the impact vectors of texts."""
        documents = (Document(str(position), "", text) for position, text in enumerate(contents))
        return [dict(document.vector) for document in self._encoder.encode(documents)]


class QueryEncoder(Described, pt.Transformer):
    """Adds the impact vectors of queries: `query` → `query_toks`, token → impact.

    `encoder` is what `open_query_encoder` takes or returns: the query encoder that belongs to that of the documents.
    `scale` should be that of the documents; `top_k` keeps the strongest tokens of a query (query pruning).
    """

    def __init__(
        self, encoder: Encoder | StrPath = DEFAULT_ENCODER, *, scale: float | None = None, top_k: int | None = None
    ) -> None:
        self.encoder, self.scale, self.top_k = encoder, scale, top_k
        opened = encoder if isinstance(encoder, Encoder) else open_query_encoder(encoder)
        self._encoder = ImpactQueryEncoder(opened, scale=scale or default_scale(encoder))

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with the column `query_toks`."""
        pt.validate.columns(inp, includes=["qid", "query"])
        return inp.assign(**{QUERY_TOKS: self.encode(texts(inp, ["query"]))})

    def encode(self, queries: Sequence[str]) -> "list[ImpactVector]":
        """Return the impact vectors of queries; equal queries are encoded once."""
        return query_vectors(queries, self._encoder, self.top_k)


def query_vectors(
    queries: Sequence[str], encoder: ImpactQueryEncoder, top_k: int | None = None
) -> "list[ImpactVector]":
    """Return the impact vectors of texts; equal texts are encoded once."""
    distinct = [Query(query, query) for query in dict.fromkeys(queries)]
    vectors = prune_queries(encode_queries(distinct, encoder), top_k)
    return [dict(vectors[query]) for query in queries]
