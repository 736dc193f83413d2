"""Search of an index of passages for documents: each is ranked by its best passage."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from splade_anserini.retrieval.fusion import rank_by_best_passage

if TYPE_CHECKING:
    from ir_measures import ScoredDoc


class SearcherOf[Q](Protocol):
    """Ranks documents for queries of the type `Q`: a `Searcher` for impact vectors, a `Bm25Searcher` for texts."""

    def search(self, queries: Mapping[str, Q], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best `hits` documents, in the order of `queries`."""
        ...

    def close(self) -> None:
        """Release the resources of the searcher."""
        ...


PASSAGES_PER_DOCUMENT = 4
"""Passages that are searched for one document; where they are not enough, four times as many, and so on."""


class BestPassageSearcher[Q]:
    """A searcher of documents in an index of their passages (MaxP: Dai & Callan, SIGIR 2019).

    The part of a passage's id before the last `separator` is the id of its document. The rankings are those of all
    passages: a query whose passages belong to too few documents is searched again.
    """

    def __init__(self, searcher: SearcherOf[Q], separator: str) -> None:
        self._searcher = searcher
        self._separator = separator

    def search(self, queries: Mapping[str, Q], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best documents, at most `hits`, in the order of `queries`.

        Raises `InputError` for an id that is not a passage's.
        """
        first = hits * PASSAGES_PER_DOCUMENT
        for query_id, ranking in self._searcher.search(queries, first):
            passages, depth = ranking, first
            documents = self._documents(passages)
            while len(documents) < hits and len(passages) == depth:
                depth *= PASSAGES_PER_DOCUMENT
                ((_, passages),) = self._searcher.search({query_id: queries[query_id]}, depth)
                documents = self._documents(passages)
            yield query_id, documents[:hits]

    def close(self) -> None:
        """Close the searcher of passages."""
        self._searcher.close()

    def _documents(self, passages: "list[ScoredDoc]") -> "list[ScoredDoc]":
        return rank_by_best_passage(passages, self._separator, "The index")
