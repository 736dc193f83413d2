"""Search in two phases: candidates by the strongest tokens of a query, ranked by all of them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.ranking import Ranking
from splade_anserini.lucene.searcher import Closeable
from splade_anserini.records import ImpactVector
from splade_anserini.vectors.pruning import prune_top_k

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_MANY = 1000


def default_candidates(hits: int) -> int:
    """Return how many candidates are looked at for `hits` documents: ten times as many up to 1,000, or twice as many.

    Fewer hits with more candidates take longer than the exact search, which skips most of what it need not see.
    """
    return max(2 * hits, min(10 * hits, _MANY))


def check_candidates(candidates: int | None, hits: int) -> None:
    """Raise `InputError` when there are to be fewer candidates than hits."""
    if candidates is not None and candidates < hits:
        raise InputError(f"There are to be {candidates:,} candidates for {hits:,} hits.", expected="at least as many")


class TwoPhaseSearcher(Closeable):
    """A `Searcher` that looks only at the documents which the strongest tokens of a query find.

    Those are the best `candidates` of an exact search for the `terms` strongest tokens. They get their exact scores
    for the whole query, so a document can be missing, but none has a wrong score. With as many terms as the query has
    tokens nothing is missing. Closing it closes `searcher`.
    """

    def __init__(self, searcher: ImpactSearcher, terms: int, candidates: int | None = None) -> None:
        if terms < 1:
            raise InputError(f"The first phase has {terms} tokens.", expected="at least 1")
        self._searcher = searcher
        self._terms = terms
        self._candidates = candidates
        self.look_ups = 0
        """Of a token of a query in a candidate: what the second phases cost so far."""

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Search for candidates, at least as many as hits, on all threads of the searcher; rescore them meanwhile."""
        from ir_measures import ScoredDoc

        candidates = default_candidates(hits) if self._candidates is None else self._candidates
        strongest = ((query_id, prune_top_k(vector, self._terms)) for query_id, vector in queries.items())
        for query_id, found in self._searcher.rankings(strongest, max(candidates, hits), self._searcher.threads):
            ranking = self._whole(queries[query_id], found)
            rows = zip(ranking.ids[:hits], ranking.scores[:hits], strict=True)
            yield query_id, [ScoredDoc(query_id, id_, score) for id_, score in rows]

    def close(self) -> None:
        """Close the index."""
        self._searcher.close()

    def _whole(self, query: ImpactVector, found: Ranking) -> Ranking:
        if len(query) <= self._terms:
            return found
        self.look_ups += len(query) * len(found.docs)
        return self._searcher.rescored(query, found)
