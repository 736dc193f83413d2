"""From Lucene's hits to a ranking: external ids, and ties as Anserini breaks them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from splade_anserini.lucene.lane import Lane
from splade_anserini.records import ImpactVector

_SPARE = 16
"""Hits that are asked for beyond those that are wanted: a tie rarely reaches further."""


class Ranking(NamedTuple):
    """The documents that a query found, best first, in columns of the same length."""

    ids: list[str]
    """As the collection has them."""
    scores: list[float]
    docs: list[int]
    """Lucene's numbers."""


def asked_for(hits: int, documents: int) -> int:
    """Return how many hits to ask Lucene for, to have the best `hits` of `documents` with the ties among them."""
    return min(hits + _SPARE, documents)


def rank(lane: Lane, query: ImpactVector, hits: int, documents: int) -> Ranking:
    """Rank what `lane` was asked for `query`: by score, equal ones by id, ascending, as Anserini does.

    Lucene breaks ties by its own numbers, so a tie at the end is looked at whole before it is cut.
    """
    wanted, asked = min(hits, documents), asked_for(hits, documents)
    found = lane.answer()
    while len(found) == asked < documents and found["score"][wanted - 1] == found["score"][-1]:
        asked = min(4 * asked, documents)
        lane.ask(query, asked).call()
        found = lane.answer()
    if len(found) > wanted:
        found = found[found["score"] >= found["score"][wanted - 1]]
    ids, docs = _ids(lane, found["doc"]), found["doc"].tolist()
    for start, stop in _ties(found["score"]):
        order = sorted(range(start, stop), key=ids.__getitem__)
        ids[start:stop], docs[start:stop] = [ids[i] for i in order], [docs[i] for i in order]
    return Ranking(ids[:wanted], found["score"][:wanted].tolist(), docs[:wanted])


def _ids(lane: Lane, docs: npt.NDArray[np.int32]) -> list[str]:
    order = np.argsort(docs)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    ascending = lane.external_ids(docs[order].tolist())
    return [ascending[place] for place in places.tolist()]


def _ties(scores: npt.NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of each run of equal scores."""
    equal = np.flatnonzero(scores[1:] == scores[:-1])
    if not len(equal):
        return
    gaps = np.flatnonzero(np.diff(equal) > 1)
    starts = np.concatenate((equal[:1], equal[gaps + 1])).tolist()
    stops = np.concatenate((equal[gaps], equal[-1:])).tolist()
    for start, stop in zip(starts, stops, strict=True):
        yield start, stop + 2
