"""Two-step search: candidates by the strongest tokens of a query, ranked by all of its tokens.

After Lassance et al., *Two-Step SPLADE: Simple, Efficient and Effective Approximation of SPLADE* (2024). Here both
steps use the same index: the first prunes only the query, not the documents.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Self

from splade_anserini.errors import InputError
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.ranking import Ranking
from splade_anserini.lucene.searcher import Closeable
from splade_anserini.records import ImpactVector
from splade_anserini.vectors.pruning import prune_top_k

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_MAX_TENFOLD = 1000


def default_candidates(hits: int) -> int:
    """Return the default number of candidates: ten times as many as hits up to 1,000, and at least twice as many.

    With more candidates for few hits, the exact search is faster: it skips most documents that cannot be hits.
    """
    return max(2 * hits, min(10 * hits, _MAX_TENFOLD))


def check_candidates(candidates: int | None, hits: int) -> None:
    """Raise `InputError` when there are fewer candidates than hits."""
    if candidates is not None and candidates < hits:
        raise InputError(
            f"--candidates ({candidates:,}) is less than --hits ({hits:,}).",
            expected="at least as many candidates as hits",
        )


class Steps(NamedTuple):
    """How a query is searched for in two steps."""

    terms: int
    """The strongest tokens that the first step searches for."""
    candidates: int
    """The documents that the second step scores."""

    @classmethod
    def of(cls, terms: int, candidates: int | None, hits: int) -> Self:
        """Return the steps of a search for `hits` documents: with at least as many candidates.

        Raises `InputError` for a first step without tokens.
        """
        if terms < 1:
            raise InputError(f"The first step of a two-step search needs at least 1 token, got {terms}.")
        return cls(terms, max(hits, default_candidates(hits) if candidates is None else candidates))


class TwoStepSearcher(Closeable):
    """A `Searcher` that scores only the documents that a query's strongest tokens find.

    The first step is an exact search for the `terms` strongest tokens; its best `candidates` are scored for the whole
    query in the second step. Every score is exact, but documents may be missing; with as many `terms` as the query has
    tokens, none is. Closing it closes `searcher`.
    """

    def __init__(self, searcher: ImpactSearcher, terms: int, candidates: int | None = None) -> None:
        Steps.of(terms, candidates, 1)
        self._searcher = searcher
        self._terms = terms
        self._candidates = candidates
        self.look_ups = 0
        """The cost of all second steps so far: pairs of a query token and a candidate."""

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and at most `hits` documents, in the order of `queries`.

        The first steps run on all threads of the searcher while candidates are scored. There are at least as many
        candidates as hits.
        """
        from ir_measures import ScoredDoc

        pruned = ((query_id, prune_top_k(vector, self._terms)) for query_id, vector in queries.items())
        for query_id, first_step in self._searcher.rankings(pruned, self._depth(hits), self._searcher.threads):
            ranking = self._second_step(queries[query_id], first_step)
            rows = zip(ranking.ids[:hits], ranking.scores[:hits], strict=True)
            yield query_id, [ScoredDoc(query_id, id_, score) for id_, score in rows]

    def rank(self, query: ImpactVector, hits: int) -> Ranking:
        """Return at most `hits` documents of one query."""
        first_step = self._searcher.rank(prune_top_k(query, self._terms), self._depth(hits))
        ids, scores, docs = self._second_step(query, first_step)
        return Ranking(ids[:hits], scores[:hits], docs[:hits])

    def close(self) -> None:
        """Close the index."""
        self._searcher.close()

    def _depth(self, hits: int) -> int:
        """Return how many candidates the first step finds."""
        return Steps.of(self._terms, self._candidates, hits).candidates

    def _second_step(self, query: ImpactVector, candidates: Ranking) -> Ranking:
        if len(query) <= self._terms:
            return candidates
        self.look_ups += len(query) * len(candidates.docs)
        return self._searcher.rescored(query, candidates)
