"""The seam between query vectors and rankings, and its executable specification."""

import heapq
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from splade_anserini.records import ImpactDocument, ImpactVector

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


class Closed:
    """What is closed when its `with` block ends."""

    def close(self) -> None:
        """Release what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@runtime_checkable
class Searcher(Protocol):
    """Impact vectors of queries → rankings."""

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best `hits` documents, in the order of `queries`.

        A score is the dot product of the impacts, in float32; documents that share no token with the query are no
        hits. Higher scores come first, equal scores in ascending order of document ids by code point, as in Anserini.
        """
        ...

    def close(self) -> None:
        """Release what the searcher holds."""
        ...


class BruteForceSearcher:
    """A searcher in memory: exact, without Java, and slow."""

    def __init__(self, documents: Iterable[ImpactDocument]) -> None:
        self._postings: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for document in documents:
            for token, impact in document.vector.items():
                self._postings[token].append((document.id, impact))

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Add up the products of the impacts of each query and each document."""
        from ir_measures import ScoredDoc

        for query_id, query in queries.items():
            sums: dict[str, int] = defaultdict(int)
            for token, weight in query.items():
                for document_id, impact in self._postings.get(token, ()):
                    sums[document_id] += weight * impact
            ranked = heapq.nsmallest(hits, ((-_float32(score), document_id) for document_id, score in sums.items()))
            yield query_id, [ScoredDoc(query_id, document_id, -score) for score, document_id in ranked]

    def close(self) -> None:
        """Forget the documents."""
        self._postings.clear()


def _float32(number: float) -> float:
    """Return the nearest number that Lucene's scores can be."""
    nearest: float = struct.unpack("f", struct.pack("f", number))[0]
    return nearest
