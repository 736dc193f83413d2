"""Searches an impact index through Pyserini's own LuceneImpactSearcher."""

from collections.abc import Iterator, Mapping
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splade_anserini.lucene.counting import opened_index
from splade_anserini.lucene.feedback import Feedback, check_document_vectors
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.output_capture import captured_chatter
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.searcher import Closeable
from splade_anserini.records import ImpactVector

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_BATCH = 16
"""Queries for each thread whose results are held at once."""
_MOST = 2**31 - 1
"""Hits that Java can count."""


def impact_searcher_class() -> Any:
    """Return Pyserini's LuceneImpactSearcher, in our virtual machine and without a limit on the terms of a query."""
    start_jvm()
    from jnius import autoclass
    from pyserini.search.lucene import LuceneImpactSearcher

    # By default, a query of more than 1,024 terms is refused.
    autoclass("org.apache.lucene.search.IndexSearcher").setMaxClauseCount(2**31 - 1)
    return LuceneImpactSearcher


class PyseriniImpactSearcher(Closeable):
    """A `Searcher` over a Lucene impact index. Safe to share between threads; they take turns.

    With `feedback`, scores are dot products with extended queries whose weights are floats: Pyserini's own, which
    Anserini rounds to four decimals. Equal ones are still in the order of ids. Raises `InputError` when the index has
    no document vectors for it.
    """

    def __init__(self, index: Path, threads: int = 1, feedback: Feedback | None = None) -> None:
        with opened_index(index):
            self._index = index
        if feedback:
            check_document_vectors(index)
        self._threads = threads
        self._feedback = feedback
        self._encoder = _LookUp()
        with java_errors(f"opening {index}"), captured_chatter():
            # min_idf: terms that all documents have, whose idf is 0, count like any other.
            self._searcher = impact_searcher_class()(str(index.absolute()), self._encoder, min_idf=-1)
            if feedback:
                feedback.set_on(self._searcher)

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Search in batches, one query a thread. An empty query finds nothing, and Java is not asked."""
        for batch in batched(queries.items(), _BATCH * self._threads):
            vectors = {query_id: vector for query_id, vector in batch if vector}
            found = self._search(vectors, hits) if vectors else {}
            for query_id, _ in batch:
                yield query_id, found.get(query_id, [])

    def close(self) -> None:
        """Close the index."""
        self._searcher.close()

    def _search(self, vectors: Mapping[str, ImpactVector], hits: int) -> "dict[str, list[ScoredDoc]]":
        from ir_measures import ScoredDoc

        ids = list(vectors)
        # Anserini feeds back what is among the hits: for fewer, too, the same documents are to be looked at.
        depth = max(hits, self._feedback.documents) if self._feedback else hits
        with JAVA_LOCK, java_errors(f"searching {self._index}"):
            self._encoder.vectors = vectors
            found = self._searcher.batch_search(ids, ids, k=min(depth, _MOST), threads=self._threads)
            return {
                query_id: [ScoredDoc(query_id, hit.docid, self._score(hit)) for hit in ranked[:hits]]
                for query_id, ranked in found.items()
            }

    def _score(self, hit: Any) -> float:
        # Anserini lowers tied scores by millionths, as far as float32 can tell. Without feedback, true scores are
        # whole numbers.
        return float(hit.score) if self._feedback else float(round(hit.score))


class _LookUp:
    """The query encoder that Pyserini asks: a query's text is its id, its vector is known."""

    def __init__(self) -> None:
        self.vectors: Mapping[str, ImpactVector] = {}

    def encode(self, text: str) -> ImpactVector:
        return self.vectors[text]
