"""Searches an impact index through Pyserini's own LuceneImpactSearcher."""

from collections.abc import Iterator, Mapping
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.artifacts.sharded_index import is_sharded, shard_directories
from splade_anserini.errors import InputError
from splade_anserini.lucene.feedback import Feedback, check_document_vectors
from splade_anserini.lucene.impact_searcher import ImpactSearcher
from splade_anserini.lucene.index_reader import opened_index
from splade_anserini.lucene.java.abandoned import close_abandoned, close_when_freed
from splade_anserini.lucene.java.forks import has_own_java
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.jvm import start_jvm
from splade_anserini.lucene.java.method_handles import as_callable, bind, java_class
from splade_anserini.lucene.java.output_capture import captured_output
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.searcher import Closeable
from splade_anserini.lucene.token_idf import TokenIdf
from splade_anserini.records import ImpactVector, StrPath

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_BATCH_SIZE = 16
"""Queries for each thread whose results are held in memory at once."""
_MAX_HITS = 2**31 - 1
"""The largest number of hits that Java can represent."""


def impact_searcher_class() -> Any:
    """Return Pyserini's LuceneImpactSearcher, as `pyserini_changes` describes it; start the Java virtual machine."""
    start_jvm()
    from pyserini.search.lucene import LuceneImpactSearcher

    return LuceneImpactSearcher


def open_pyserini_searcher(
    index: StrPath,
    encoder: Any,
    min_idf: float,
    encoder_type: str = "pytorch",
    prebuilt_index_name: str | None = None,
) -> Any:
    """Return Pyserini's LuceneImpactSearcher of an index; of a sharded index it searches all shards.

    It is closed after it is freed.
    """
    path = Path(index).absolute()
    start_jvm()
    with JAVA_LOCK, java_errors(f"opening {index}"), captured_output():
        arguments = str(_for_pyserini(path)), encoder, min_idf, encoder_type, prebuilt_index_name
        searcher = impact_searcher_class()(*arguments)
        if is_sharded(path):
            _give_all_shards(searcher, path)
        close_when_freed(searcher, searcher.object)
    return searcher


def _for_pyserini(index: Path) -> Path:
    """Return the directory that Pyserini can open: of a sharded index the shard with the most documents."""
    manifest = read_manifest(index, IndexManifest) if is_sharded(index) else None
    if manifest is None:
        return index
    documents = [part.counts.documents for part in manifest.parts]
    return shard_directories(index)[documents.index(max(documents))]


def _give_all_shards(searcher: Any, index: Path) -> None:
    """Replace the index of Pyserini's searcher, one shard, with all shards.

    Anserini's searcher opens a directory only. Its searches, feedback and documents use these two fields.
    """
    from jnius import cast

    everything = ImpactSearcher(index)
    searcher.idf = TokenIdf(everything)
    searcher.num_docs = everything.documents
    reader = everything.lucene.getIndexReader()
    shard = _exchange_field(searcher.object, "reader", reader)
    _exchange_field(searcher.object, "searcher", everything.lucene)
    cast("org.apache.lucene.index.IndexReader", shard).close()
    # Its reader lives as long as Pyserini's searcher.
    searcher.all_shards = everything


def _exchange_field(searcher: Any, name: str, value: Any) -> Any:
    """Set a field of Anserini's searcher that is not public; return the old value."""
    from jnius import autoclass

    field = java_class("io.anserini.search.SimpleImpactSearcher").getDeclaredField(name)
    field.setAccessible(True)
    lookup = autoclass("java.lang.invoke.MethodHandles").publicLookup()
    before = as_callable(bind(lookup.unreflectGetter(field), searcher)).call()
    as_callable(bind(lookup.unreflectSetter(field), searcher, value)).call()
    return before


def download_index(name: str) -> str:
    """Return the directory of an index that Pyserini provides; Pyserini downloads it when it is first used.

    Raises `InputError` when Pyserini has no index of this name, or cannot download it.
    """
    start_jvm()
    from pyserini.util import download_prebuilt_index

    try:
        return str(download_prebuilt_index(name, verbose=False))
    except (ValueError, OSError) as error:
        raise InputError(
            f"Pyserini cannot provide the index {name!r}: {error}.",
            expected="the name of a prebuilt index of Pyserini",
            do="Check the spelling and the network connection.",
        ) from error


class PyseriniImpactSearcher(Closeable):
    """A `Searcher` over a Lucene impact index that uses Pyserini. Several Python threads may share it; they take turns.

    With `feedback`, the scores are dot products with expanded queries whose weights are floats. They are Pyserini's
    own scores, which Anserini rounds to four decimals; equal scores are in ascending order of document ids. One that is
    not closed is closed after it is freed. Raises `InputError` when `index` is not a Lucene index, or has no document
    vectors for feedback, `IntegrityError` when it is damaged.
    """

    def __init__(self, index: StrPath, threads: int = 1, feedback: Feedback | None = None) -> None:
        self._index = Path(index)
        with opened_index(index):
            pass
        if feedback:
            check_document_vectors(index)
        self._threads = threads
        self._feedback = feedback
        self._encoder = _VectorsById()
        # A negative min_idf keeps the terms that all documents contain, whose idf is 0.
        self._searcher = open_pyserini_searcher(self._index, self._encoder, min_idf=-1)
        if feedback:
            with java_errors(f"opening {index}"), captured_output():
                feedback.apply_to(self._searcher)

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best `hits` documents, in the order of `queries`; none for an empty query."""
        for batch in batched(queries.items(), _BATCH_SIZE * self._threads):
            vectors = {query_id: vector for query_id, vector in batch if vector}
            rankings = self._search_batch(vectors, hits) if vectors else {}
            for query_id, _ in batch:
                yield query_id, rankings.get(query_id, [])

    def close(self) -> None:
        """Close the index."""
        if has_own_java():
            self._searcher.close()
        close_abandoned()

    def _search_batch(self, vectors: Mapping[str, ImpactVector], hits: int) -> "dict[str, list[ScoredDoc]]":
        from ir_measures import ScoredDoc

        ids = list(vectors)
        # Anserini takes the feedback documents from the hits: with fewer hits than these, the query would be expanded
        # from fewer documents.
        depth = max(hits, self._feedback.docs) if self._feedback else hits
        with JAVA_LOCK, java_errors(f"searching {self._index}"):
            self._encoder.vectors = vectors
            rankings = self._searcher.batch_search(ids, ids, k=min(depth, _MAX_HITS), threads=self._threads)
            return {
                query_id: [ScoredDoc(query_id, hit.docid, self._score(hit)) for hit in ranking[:hits]]
                for query_id, ranking in rankings.items()
            }

    def _score(self, hit: Any) -> float:
        # To keep ties in order, Anserini subtracts millionths from tied scores, as far as float32 can represent them.
        # Without feedback, the true scores are integers.
        return float(hit.score) if self._feedback else float(round(hit.score))


class _VectorsById:
    """A query encoder for Pyserini: the text of a query is its id, by which its vector is looked up."""

    def __init__(self) -> None:
        self.vectors: Mapping[str, ImpactVector] = {}

    def encode(self, text: str) -> ImpactVector:
        return self.vectors[text]
