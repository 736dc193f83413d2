"""The nouns: what crosses the borders between the rooms of this package, and nothing else does.

A run's lines and judgements are `ir_measures.ScoredDoc` and `ir_measures.Qrel`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

type StrPath = str | os.PathLike[str]
"""A path as public functions take it."""

DOCS_PER_SHARD = 10_000
"""Documents in one file of pseudo-documents, unless an option says otherwise."""

type SparseVector = Mapping[str, float]
"""Token → weight > 0: log(1 + ReLU(logit)), pooled over the text (SPLADE v2, section 3)."""

type ImpactVector = Mapping[str, int]
"""Token → impact ≥ 1: the quantized weight, which Lucene stores as a term frequency."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a corpus."""

    id: str
    title: str
    text: str

    @property
    def contents(self) -> str:
        """The title, if any, before the text: what an encoder reads."""
        return f"{self.title} {self.text}" if self.title and self.text else self.title or self.text


@dataclass(frozen=True, slots=True)
class Query:
    """One topic."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class ImpactDocument:
    """A document as Lucene indexes it: Anserini's pseudo-document. The vector may be empty."""

    id: str
    vector: ImpactVector
    contents: str = ""
    """The text it was made from, for people to read; Lucene does not search it."""


@dataclass(frozen=True, slots=True)
class Example:
    """What a model learns from: a query, a text that answers it, and texts that answer it less or not at all."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    scores: tuple[float, ...] | None = None
    """A teacher's scores: of the positive, then of each negative."""
