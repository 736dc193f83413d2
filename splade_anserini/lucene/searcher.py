"""The protocols of searchers and scorers, and their exact implementation in memory."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from splade_anserini.errors import InputError, counted
from splade_anserini.ordering import best
from splade_anserini.records import ImpactDocument, ImpactVector

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


class Closeable:
    """Base class of objects that are closed at the end of a `with` block."""

    def close(self) -> None:
        """Release the resources."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@runtime_checkable
class Searcher(Protocol):
    """Ranks the documents of an index for impact vectors of queries."""

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best `hits` documents, in the order of `queries`.

        A score is the dot product of the impacts, in float32. Documents that share no token with the query are not
        hits. Higher scores come first; equal scores are in ascending order of document ids by code point, as in
        Anserini.
        """
        ...

    def close(self) -> None:
        """Release the resources of the searcher."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Scores given documents for impact vectors of queries."""

    def scores(self, query: ImpactVector, ids: Sequence[str]) -> list[float]:
        """Return the score of each document, as in a search; 0 for one that shares no token with the query.

        Raises `InputError` when there is no document with one of the ids.
        """
        ...


class BruteForceSearcher:
    """A `Searcher` and `Scorer` in memory: exact, without Java, and slow."""

    def __init__(self, documents: Iterable[ImpactDocument]) -> None:
        self._postings: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._ids: set[str] = set()
        for document in documents:
            if document.vector:
                self._ids.add(document.id)
            for token, impact in document.vector.items():
                self._postings[token].append((document.id, impact))

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best `hits` documents, as `Searcher.search` defines them."""
        from ir_measures import ScoredDoc

        for query_id, query in queries.items():
            scores = ((doc_id, float32(score)) for doc_id, score in self._dot_products(query).items())
            yield query_id, [ScoredDoc(query_id, doc_id, score) for doc_id, score in best(scores, hits)]

    def scores(self, query: ImpactVector, ids: Sequence[str]) -> list[float]:
        """Return the score of each document; as in a Lucene index, there are no documents with an empty vector."""
        check_no_missing([id_ for id_ in ids if id_ not in self._ids], len(ids), "the collection")
        products = self._dot_products(query)
        return [float32(products.get(id_, 0)) for id_ in ids]

    def close(self) -> None:
        """Release the documents."""
        self._postings.clear()
        self._ids.clear()

    def _dot_products(self, query: ImpactVector) -> dict[str, int]:
        products: dict[str, int] = defaultdict(int)
        for token, weight in query.items():
            for document_id, impact in self._postings.get(token, ()):
                products[document_id] += weight * impact
        return products


def check_no_missing(missing: Sequence[str], total: int, source: str) -> None:
    """Raise `InputError` when some of the `total` documents to score are `missing` in `source`."""
    if missing:
        raise InputError(
            f"{len(missing):,} of {counted(total, 'document')} {'is' if len(missing) == 1 else 'are'} not in {source}; "
            f"the first is {missing[0]!r}.",
            expected="ids of indexed documents; documents with an empty vector are not indexed",
        )


def float32(number: float) -> float:
    """Round a number to float32, the precision of Lucene's scores."""
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded
