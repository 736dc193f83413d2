"""The seam between query vectors and rankings, and its executable specification."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from splade_anserini.errors import InputError
from splade_anserini.ordering import best
from splade_anserini.records import ImpactDocument, ImpactVector

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


class Closeable:
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


@runtime_checkable
class Scorer(Protocol):
    """Impact vectors of queries and ids of documents → scores."""

    def scores(self, query: ImpactVector, ids: Sequence[str]) -> list[float]:
        """Return the score of each document, as a search gives it; 0 for one that shares no token with the query.

        Raises `InputError` when there is no document of one of the ids.
        """
        ...


class BruteForceSearcher:
    """A searcher in memory: exact, without Java, and slow."""

    def __init__(self, documents: Iterable[ImpactDocument]) -> None:
        self._postings: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._ids: set[str] = set()
        for document in documents:
            if document.vector:
                self._ids.add(document.id)
            for token, impact in document.vector.items():
                self._postings[token].append((document.id, impact))

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Add up the products of the impacts of each query and each document."""
        from ir_measures import ScoredDoc

        for query_id, query in queries.items():
            scores = ((doc_id, float32(score)) for doc_id, score in self._sums(query).items())
            yield query_id, [ScoredDoc(query_id, doc_id, score) for doc_id, score in best(scores, hits)]

    def scores(self, query: ImpactVector, ids: Sequence[str]) -> list[float]:
        """Add up the same products; documents with an empty vector are as unknown as to Lucene."""
        refuse_missing([id_ for id_ in ids if id_ not in self._ids], len(ids), "the collection")
        sums = self._sums(query)
        return [float32(sums.get(id_, 0)) for id_ in ids]

    def close(self) -> None:
        """Forget the documents."""
        self._postings.clear()
        self._ids.clear()

    def _sums(self, query: ImpactVector) -> dict[str, int]:
        sums: dict[str, int] = defaultdict(int)
        for token, weight in query.items():
            for document_id, impact in self._postings.get(token, ()):
                sums[document_id] += weight * impact
        return sums


def refuse_missing(missing: Sequence[str], of: int, source: str) -> None:
    """Raise `InputError` when documents that are to be scored are not in `source`."""
    if missing:
        raise InputError(
            f"{len(missing):,} of {of:,} documents are not in {source}, the first is {missing[0]!r}.",
            expected="ids of documents that were indexed; those with an empty vector are not",
        )


def float32(number: float) -> float:
    """Return the nearest number that Lucene's scores can be."""
    nearest: float = struct.unpack("f", struct.pack("f", number))[0]
    return nearest
