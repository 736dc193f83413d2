"""From Lucene's hits to a ranking: external ids, and ties as Anserini breaks them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from splade_anserini.lucene.external_ids import ExternalIds
from splade_anserini.lucene.query_executor import Lane
from splade_anserini.ordering import rank_key
from splade_anserini.records import ImpactVector

_SPARE, _SHARE = 2, 64
"""Hits that are asked for beyond those that are wanted, 2 and one for each 64: a tie rarely reaches further."""


class Ranking(NamedTuple):
    """The documents that a query found, best first, in columns of the same length."""

    ids: list[str]
    """As the collection has them."""
    scores: list[float]
    docs: list[int]
    """Lucene's numbers."""


def asked_for(hits: int, documents: int) -> int:
    """Return how many hits to ask Lucene for, to have the best `hits` of `documents` with the ties among them."""
    return min(hits + _SPARE + hits // _SHARE, documents)


def rank(lane: Lane, query: ImpactVector, hits: int, known: ExternalIds) -> Ranking:
    """Rank what `lane` was asked for `query`: by score, equal ones by id, ascending, as Anserini does.

    Lucene breaks ties by its own numbers, so a tie at the end is looked at whole before it is cut.
    """
    documents = known.documents
    wanted, asked = min(hits, documents), asked_for(hits, documents)
    docs, scores = lane.answer()
    while len(docs) == asked < documents and scores[wanted - 1] == scores[-1]:
        asked = min(4 * asked, documents)
        lane.ask(query, asked).call()
        docs, scores = lane.answer()
    if len(docs) > wanted:
        whole = np.count_nonzero(scores >= scores[wanted - 1])
        docs, scores = docs[:whole], scores[:whole]
    ids, numbers = known.of(docs, lane), docs.tolist()
    for start, stop in _ties(scores):
        _sort(ids, numbers, start, stop)
    return Ranking(ids[:wanted], scores[:wanted].tolist(), numbers[:wanted])


def sorted_ranking(ids: list[str], scores: list[float], docs: list[int]) -> Ranking:
    """Rank documents in any order: by score, equal ones by id."""
    order = sorted(range(len(ids)), key=lambda n: rank_key(scores[n], ids[n]))
    return Ranking([ids[n] for n in order], [scores[n] for n in order], [docs[n] for n in order])


def _sort(ids: list[str], numbers: list[int], start: int, stop: int) -> None:
    """Put a tie into the order of ids, in place. Most are of two, and there are dozens in a ranking."""
    if stop - start > 2:
        order = sorted(range(start, stop), key=ids.__getitem__)
        ids[start:stop], numbers[start:stop] = [ids[place] for place in order], [numbers[place] for place in order]
    elif ids[start] > ids[start + 1]:
        ids[start], ids[start + 1] = ids[start + 1], ids[start]
        numbers[start], numbers[start + 1] = numbers[start + 1], numbers[start]


def _ties(scores: npt.NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of each run of equal scores."""
    start = stop = -1
    for place in np.flatnonzero(scores[1:] == scores[:-1]).tolist():
        if place != stop - 1:
            if stop > 0:
                yield start, stop
            start = place
        stop = place + 2
    if stop > 0:
        yield start, stop
