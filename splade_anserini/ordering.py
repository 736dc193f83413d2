"""The order of a ranking: descending scores, and equal scores by ascending document id, by code point, as in Anserini.

All that ranks documents uses these functions, so that ties are broken in the same way everywhere.
"""

import heapq
from collections.abc import Iterable


def rank_key(score: float, doc_id: str) -> tuple[float, str]:
    """Return the key that sorts a hit to its place, best first."""
    return -score, doc_id


def best(hits: Iterable[tuple[str, float]], count: int | None = None) -> list[tuple[str, float]]:
    """Return the best `count` pairs of document id and score, or all of them, best first."""
    keys = (rank_key(score, doc_id) for doc_id, score in hits)
    ordered = sorted(keys) if count is None else heapq.nsmallest(count, keys)
    return [(doc_id, -negated) for negated, doc_id in ordered]
