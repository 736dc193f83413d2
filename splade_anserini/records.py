"""The record types that the packages of this project exchange.

The lines of runs and the relevance judgements are `ir_measures.ScoredDoc` and `ir_measures.Qrel`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

type StrPath = str | os.PathLike[str]
"""A path, as public functions accept it."""

DOCS_PER_SHARD = 10_000
"""Documents in one file of pseudo-documents, unless an option says otherwise."""

type SparseVector = Mapping[str, float]
"""Token → weight > 0: log(1 + ReLU(logit)), max- or sum-pooled over the text (SPLADE v2, section 3)."""

type ImpactVector = Mapping[str, int]
"""Token → impact ≥ 1: the quantized weight, which Lucene stores as the term frequency."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a corpus."""

    id: str
    title: str
    text: str

    @property
    def contents(self) -> str:
        """The text that is encoded: the title, if there is one, followed by the text."""
        return f"{self.title} {self.text}" if self.title and self.text else self.title or self.text


@dataclass(frozen=True, slots=True)
class Query:
    """A query, which TREC calls a topic."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class ImpactDocument:
    """A document as it is indexed: Anserini's pseudo-document. Its vector may be empty."""

    id: str
    vector: ImpactVector
    contents: str = ""
    """The text that was encoded, or ""; it is kept for readers and is not searched."""


@dataclass(frozen=True, slots=True)
class Example:
    """A training example: a query, a relevant passage, and less relevant or irrelevant passages."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    scores: tuple[float, ...] | None = None
    """The scores of a teacher: first of the positive, then of each negative."""
