"""The FLOPS of the paper: how many multiplications a query and a document cost, by expectation."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from splade_anserini.records import ImpactVector


@dataclass(frozen=True, slots=True)
class Occurrences:
    """In how many texts each token is active."""

    texts: int
    """All of them, those without any active token too."""
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TokenCost:
    """What one token adds to the FLOPS."""

    token: str
    share: float
    """Of the FLOPS."""
    queries: int
    documents: int


def occurrences(vectors: Iterable[ImpactVector]) -> Occurrences:
    """Count the texts of each token."""
    counts: Counter[str] = Counter()
    texts = 0
    for vector in vectors:
        counts.update(vector.keys())
        texts += 1
    return Occurrences(texts, counts)


def flops(queries: Occurrences, documents: Occurrences) -> float:
    """Return Σ_j p_j^q p_j^d, with p_j the share of texts in which entry j is active (SPLADE v2, section 4).

    It is the mean number of tokens that a query and a document share. 0 without queries or without documents.
    """
    pairs = queries.texts * documents.texts
    return sum(_products(queries, documents).values()) / pairs if pairs else 0.0


def costliest(queries: Occurrences, documents: Occurrences, most: int) -> list[TokenCost]:
    """Return the `most` tokens that add most to the FLOPS, by what they add; ties by token."""
    products = _products(queries, documents)
    total = sum(products.values())
    tokens = sorted((token for token in products if products[token]), key=lambda token: (-products[token], token))
    return [
        TokenCost(token, products[token] / total, queries.counts[token], documents.counts[token])
        for token in tokens[:most]
    ]


def postings_of(query: ImpactVector, documents: Occurrences) -> int:
    """Return how many postings the tokens of a query have: what an exhaustive search multiplies."""
    return sum(documents.counts.get(token, 0) for token in query)


def _products(queries: Occurrences, documents: Occurrences) -> dict[str, int]:
    return {token: count * documents.counts.get(token, 0) for token, count in queries.counts.items()}
