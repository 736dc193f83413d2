"""The record types that the packages of this project exchange.

The lines of runs and the relevance judgements are `ir_measures.ScoredDoc` and `ir_measures.Qrel`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

type StrPath = str | os.PathLike[str]
"""A path, as public functions accept it."""

DOCS_PER_SHARD = 10_000
"""Documents in one file of pseudo-documents, unless an option says otherwise."""

type SparseVector = Mapping[str, float]
"""Token → weight > 0: log(1 + ReLU(logit)), max- or sum-pooled over the text (SPLADE v2, section 3)."""

type ImpactVector = Mapping[str, int]
"""Token → impact ≥ 1: the quantized weight, which Lucene stores as the term frequency."""

type FilterType = Literal["int", "float", "str", "date"]
"""The type of a field by which hits can be filtered."""
FILTER_TYPES: tuple[FilterType, ...] = get_args(FilterType.__value__)

type JsonDocument = dict[str, Any]
"""A document with all its fields, as JSON has it: `id`, and mostly `contents`, its text."""

type Pooling = Literal["max", "sum", "norm"]
"""How the weights of a text's tokens become one: maximum (SPLADE v2), sum (v1), or 4-norm (docs/decisions/0012)."""
POOLINGS: tuple[Pooling, ...] = get_args(Pooling.__value__)

type Activation = Literal["relu", "log1p_relu"]
"""How a logit x becomes the weight of a token: `relu`, log(1 + ReLU(x)) (SPLADE v2, section 3, equation 1);
`log1p_relu`, log(1 + log(1 + ReLU(x))) (OpenSearch, arXiv 2504.14839). The names are those of sentence-transformers."""
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation.__value__)


class Aggregation(NamedTuple):
    """How the logits of a text's tokens become one weight per vocabulary entry: activation, then pooling."""

    pooling: Pooling = "max"
    activation: Activation = "relu"


SPLADE_MAX = Aggregation()
"""The maximum of log(1 + ReLU(x)): SPLADE v2, section 3.1."""


type QuerySide = Literal["splade", "doc", "idf", "separate"]
"""What encodes queries: `splade`, the documents' model; `doc`, no model, each token of a query has weight 1
(SPLADE-doc, SPLADE v2, section 3.2); `idf`, no model, each token has its weight in query_weights.json; `separate`, a
model of their own."""

type Side = Literal["document", "query"]
"""Which encoder makes a vector: that of documents, or that of queries."""

type Language = Literal[
    "ar", "bn", "da", "de", "en", "es", "fa", "fi", "fr", "ha", "hi", "hu", "id", "it", "ja", "ko", "nl", "no", "pl",
    "pt", "ru", "so", "sv", "sw", "te", "th", "tr", "uk", "yo", "zh",
]  # fmt: skip
"""The languages for which Anserini has an analyzer, which turns text into words."""
LANGUAGES: tuple[Language, ...] = get_args(Language.__value__)

DEFAULT_SCALE = 100.0
"""impact = round(weight × scale): the scale of the paper's reference implementation."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a corpus."""

    id: str
    title: str
    text: str
    fields: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """All other fields of its record; None where they were not read."""

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
    fields: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """All other fields of its record; None where they were not read."""


@dataclass(frozen=True, slots=True)
class Example:
    """A training example: a query, a relevant passage, and less relevant or irrelevant passages."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    scores: tuple[float, ...] | None = None
    """The scores of a teacher: first of the positive, then of each negative."""
