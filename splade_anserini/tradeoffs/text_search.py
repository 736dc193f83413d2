"""BM25 beside the impacts: searched once for all settings, and again where they are timed."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pydantic

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.artifacts.sharded_index import fingerprint_of_index
from splade_anserini.lucene import open_bm25_searcher
from splade_anserini.lucene.disk_usage import index_parts
from splade_anserini.lucene.frequencies import document_frequencies
from splade_anserini.lucene.text_options import Bm25Options
from splade_anserini.records import Query
from splade_anserini.retrieval.hybrid import fused, scores_with_bm25

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

    from splade_anserini.lucene.bm25 import Bm25Searcher


class TextSearch:
    """A text index of the same collection, and the texts of the queries."""

    def __init__(
        self, index: Path, queries: Sequence[Query], hits: int, options: Bm25Options | None = None, *, threads: int = 1
    ) -> None:
        self._index, self._options, self._hits, self._threads = index, options or Bm25Options(), hits, threads
        self._texts = {query.id: query.text for query in queries}

    @property
    def inputs(self) -> dict[str, pydantic.JsonValue]:
        """Everything that decides the rankings; the names are those of `results.OPTIONAL`."""
        texts = (part.encode() for pair in self._texts.items() for part in pair)
        options = self._options
        return {
            "text index": fingerprint_of_index(self._index),
            "texts": fingerprint_of_bytes(*texts),
            "bm25": f"k1 {options.k1:g}, b {options.b:g}" + (f", {options.language}" if options.language else ""),
        }

    @cached_property
    def bytes(self) -> int:
        """Bytes of the text index on disk."""
        return sum(index_parts(self._index).values())

    @cached_property
    def postings(self) -> int:
        """The postings of all words of all queries: what the searches multiply, if they skip nothing."""
        words = [set(self._searcher.words(text)) for text in self._texts.values()]
        frequencies = document_frequencies(self._index, sorted(set().union(*words)))
        return sum(frequencies.by_token[word] for of_query in words for word in of_query)

    def fused(
        self, rankings: "Iterable[tuple[str, list[ScoredDoc]]]", weight: float
    ) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield the rankings of an impact index, fused with BM25's of the same queries."""
        fusion = scores_with_bm25(weight, self._hits)
        for query_id, ranking in rankings:
            yield query_id, fused(query_id, [ranking, self._rankings[query_id]], fusion)

    def search(self, query_id: str, ranking: "list[ScoredDoc]", weight: float) -> "list[ScoredDoc]":
        """Search for a query now, on one thread, and fuse: what a hybrid search does after that of the impacts."""
        text = self._texts[query_id]
        ((_, found),) = self._searcher.search({query_id: text}, self._hits)
        return fused(query_id, [ranking, found], scores_with_bm25(weight, self._hits))

    def close(self) -> None:
        """Close the index, if it was opened."""
        if "_searcher" in vars(self):
            self._searcher.close()

    @cached_property
    def _searcher(self) -> "Bm25Searcher":
        return open_bm25_searcher(self._index, 1, self._options)

    @cached_property
    def _rankings(self) -> "dict[str, list[ScoredDoc]]":
        """The rankings of all queries."""
        with open_bm25_searcher(self._index, self._threads, self._options) as searcher:
            return dict(searcher.search(self._texts, self._hits))
