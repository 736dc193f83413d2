"""What a search that saves work loses: its rankings beside those of the exact search."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


class OverlapWithExact:
    """How much of the first documents of the exact search is found, at several depths: a mean over queries."""

    def __init__(self, depths: Sequence[int]) -> None:
        self._shares: dict[int, list[float]] = {depth: [] for depth in dict.fromkeys(depths)}

    def watch(
        self,
        rankings: "Iterable[tuple[str, list[ScoredDoc]]]",
        exact: "Iterable[tuple[str, list[ScoredDoc]]]",
    ) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield `rankings` as they are, and compare each with that of the same query in `exact`."""
        for (query_id, ranking), (_, reference) in zip(rankings, exact, strict=True):
            ids, wanted = ([hit.doc_id for hit in hits] for hits in (ranking, reference))
            # A query that finds nothing has nothing to lose.
            if wanted:
                for depth, shares in self._shares.items():
                    shares.append(overlap(ids, wanted, depth))
            yield query_id, ranking

    def __str__(self) -> str:
        """Say it in a few words."""
        means = [
            f"{sum(shares) / len(shares):.2%} of the first {depth:,}"
            for depth, shares in self._shares.items()
            if shares
        ]
        return f"of the exact search, found {' and '.join(means)}" if means else "the exact search finds nothing"


def overlap(ids: Sequence[str], exact: Sequence[str], depth: int) -> float:
    """Return which share of the first `depth` of `exact`, which is not empty, is among the first `depth` of `ids`."""
    wanted = set(exact[:depth])
    return len(wanted.intersection(ids[:depth])) / len(wanted)
