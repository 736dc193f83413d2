"""The score of a document for a query."""

from collections.abc import Mapping


def dot_product(query: Mapping[str, float], document: Mapping[str, float]) -> float:
    """Return the dot product of two vectors, weights or impacts; that of impacts is an integer."""
    return sum(weight * document.get(token, 0) for token, weight in query.items())
