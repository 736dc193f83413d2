"""How much of the exact search a cheaper search finds."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


class OverlapWithExact:
    """The share of the first documents of the exact search that is found, at several depths; a mean over queries."""

    def __init__(self, depths: Sequence[int]) -> None:
        self._shares: dict[int, list[float]] = {depth: [] for depth in dict.fromkeys(depths)}

    def watch(
        self,
        rankings: "Iterable[tuple[str, list[ScoredDoc]]]",
        exact: "Iterable[tuple[str, list[ScoredDoc]]]",
    ) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield `rankings` as they are, and compare each with that of the same query in `exact`."""
        for (query_id, ranking), (_, reference) in zip(rankings, exact, strict=True):
            ids, exact_ids = ([hit.doc_id for hit in hits] for hits in (ranking, reference))
            # A query that finds nothing has nothing to lose.
            if exact_ids:
                for depth, shares in self._shares.items():
                    shares.append(overlap(ids, exact_ids, depth))
            yield query_id, ranking

    def __str__(self) -> str:
        """Return the mean shares, such as "of the exact search, found 99.41% of the first 10"."""
        means = [
            f"{sum(shares) / len(shares):.2%} of the first {depth:,}"
            for depth, shares in self._shares.items()
            if shares
        ]
        return f"of the exact search, found {' and '.join(means)}" if means else "the exact search finds nothing"


def overlap(ids: Sequence[str], exact: Sequence[str], depth: int) -> float:
    """Return which share of the first `depth` of `exact`, which is not empty, is among the first `depth` of `ids`."""
    reference = set(exact[:depth])
    return len(reference.intersection(ids[:depth])) / len(reference)
