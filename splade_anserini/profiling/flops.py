"""The FLOPS measure of SPLADE v2 (section 4): expected multiplications per pair of a query and a document."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from splade_anserini.records import ImpactVector


@dataclass(frozen=True, slots=True)
class Occurrences:
    """The number of texts, and in how many of them each token is active."""

    texts: int
    """All texts, including those without an active token."""
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TokenCost:
    """The contribution of one token to the FLOPS."""

    token: str
    share: float
    """Share of the FLOPS, from 0 to 1."""
    queries: int
    documents: int


def occurrences(vectors: Iterable[ImpactVector]) -> Occurrences:
    """Count in how many vectors each token is active."""
    counts: Counter[str] = Counter()
    texts = 0
    for vector in vectors:
        counts.update(vector.keys())
        texts += 1
    return Occurrences(texts, counts)


def flops(queries: Occurrences, documents: Occurrences) -> float:
    """Return Σ_j p_j^q p_j^d, where p_j is the share of texts in which token j is active (SPLADE v2, section 4).

    This is the mean number of tokens that a query and a document share; 0 without queries or without documents.
    """
    pairs = queries.texts * documents.texts
    return sum(_products(queries, documents).values()) / pairs if pairs else 0.0


def costliest(queries: Occurrences, documents: Occurrences, count: int) -> list[TokenCost]:
    """Return the `count` tokens that contribute most to the FLOPS, in decreasing order; ties are ordered by token."""
    products = _products(queries, documents)
    total = sum(products.values())
    tokens = sorted((token for token in products if products[token]), key=lambda token: (-products[token], token))
    return [
        TokenCost(token, products[token] / total, queries.counts[token], documents.counts[token])
        for token in tokens[:count]
    ]


def postings_of(query: ImpactVector, documents: Occurrences) -> int:
    """Return the number of postings of a query's tokens, which an exhaustive search multiplies."""
    return sum(documents.counts.get(token, 0) for token in query)


def _products(queries: Occurrences, documents: Occurrences) -> dict[str, int]:
    return {token: count * documents.counts.get(token, 0) for token, count in queries.counts.items()}
