"""Several runs of the same topics, read together query by query."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


type Rankings = Iterable[tuple[str, Sequence["ScoredDoc"]]]
"""Each query's id and ranking; no query comes twice."""


def side_by_side(runs: "Sequence[Rankings]") -> "Iterator[tuple[str, list[Sequence[ScoredDoc]]]]":
    """Yield each query that is in any run, with its ranking in each of them: an empty one where a run lacks it.

    Queries come in the order of the first run, then those that only later runs have. While the runs have the same
    queries in the same order, one query is in memory at a time. Where a later run has another order, or lacks a query,
    what it holds before that query, or in all, is kept until its turn comes.
    """
    readers = [_Reader(run) for run in runs]
    for number, reader in enumerate(readers):
        for query_id, ranking in reader.rest():
            before: list[Sequence[ScoredDoc]] = [()] * number
            yield query_id, [*before, ranking, *(other.take(query_id) for other in readers[number + 1 :])]


class _Reader:
    """One run, and what has been read of it too early."""

    def __init__(self, rankings: Rankings) -> None:
        self._rankings = iter(rankings)
        self._early: dict[str, Sequence[ScoredDoc]] = {}

    def take(self, query_id: str) -> "Sequence[ScoredDoc]":
        """Return the ranking of a query, reading as far as it takes."""
        if query_id in self._early:
            return self._early.pop(query_id)
        for other, ranking in self._rankings:
            if other == query_id:
                return ranking
            self._early[other] = ranking
        return ()

    def rest(self) -> "Iterator[tuple[str, Sequence[ScoredDoc]]]":
        """Yield what nobody has taken."""
        while self._early:
            query_id = next(iter(self._early))
            yield query_id, self._early.pop(query_id)
        yield from self._rankings
