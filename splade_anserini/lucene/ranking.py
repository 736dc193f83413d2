"""From Lucene's hits to a ranking: external ids, and ties broken as Anserini breaks them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from splade_anserini.lucene.external_ids import ExternalIds
from splade_anserini.lucene.query_executor import Hits, QueryExecutor, SearchQuery
from splade_anserini.ordering import rank_key

_EXTRA_HITS, _EXTRA_HITS_DIVISOR = 2, 64
"""Lucene is asked for 2 hits more than needed, and for one more for each 64: ties at the end are rarely longer."""


class Ranking(NamedTuple):
    """The hits of a query, best first, in columns of the same length."""

    ids: list[str]
    """The collection's ids."""
    scores: list[float]
    docs: list[int]
    """Lucene's document numbers."""


def hits_to_fetch(hits: int, documents: int) -> int:
    """Return how many hits to ask Lucene for, so that the best `hits` and the ties at their end are among them."""
    return min(hits + _EXTRA_HITS + hits // _EXTRA_HITS_DIVISOR, documents)


def rank(executor: QueryExecutor, query: SearchQuery, found: Hits, hits: int, external_ids: ExternalIds) -> Ranking:
    """Rank the hits of a search that `executor` has run: by score, and equal scores by ascending id, as Anserini does.

    Lucene breaks ties by its document numbers, so a tie at the end has to be fetched completely before it is cut.
    """
    documents = external_ids.documents
    hits, fetched = min(hits, documents), hits_to_fetch(hits, documents)
    docs, scores = found
    while len(docs) == fetched < documents and scores[hits - 1] == scores[-1]:
        fetched = min(4 * fetched, documents)
        executor.search_task(query, fetched).call()
        docs, scores = executor.hits()
    if len(docs) > hits:
        with_ties = np.count_nonzero(scores >= scores[hits - 1])
        docs, scores = docs[:with_ties], scores[:with_ties]
    ids, doc_list = external_ids.of(docs, executor), docs.tolist()
    for start, stop in _ties(scores):
        _sort_tie(ids, doc_list, start, stop)
    return Ranking(ids[:hits], scores[:hits].tolist(), doc_list[:hits])


def sorted_ranking(ids: list[str], scores: list[float], docs: list[int]) -> Ranking:
    """Rank documents in any order: by score, and equal scores by ascending id."""
    order = sorted(range(len(ids)), key=lambda n: rank_key(scores[n], ids[n]))
    return Ranking([ids[n] for n in order], [scores[n] for n in order], [docs[n] for n in order])


def _sort_tie(ids: list[str], docs: list[int], start: int, stop: int) -> None:
    """Sort a tie by id, in place. Most ties are of two documents, and a ranking contains dozens of them."""
    if stop - start > 2:
        order = sorted(range(start, stop), key=ids.__getitem__)
        ids[start:stop], docs[start:stop] = [ids[n] for n in order], [docs[n] for n in order]
    elif ids[start] > ids[start + 1]:
        ids[start], ids[start + 1] = ids[start + 1], ids[start]
        docs[start], docs[start + 1] = docs[start + 1], docs[start]


def _ties(scores: npt.NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each run of equal scores."""
    start = stop = -1
    for position in np.flatnonzero(scores[1:] == scores[:-1]).tolist():
        if position != stop - 1:
            if stop > 0:
                yield start, stop
            start = position
        stop = position + 2
    if stop > 0:
        yield start, stop
