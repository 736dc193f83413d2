"""An impact index as one object: from texts to hits, and to an ordinary index on disk."""

import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, NamedTuple, Self, overload

from splade_anserini.cards.default_encoder import DEFAULT_ENCODER
from splade_anserini.errors import InputError
from splade_anserini.explaining.hits import Hit, Hits
from splade_anserini.progress import ProgressBars, no_bars
from splade_anserini.records import Document, StrPath

if TYPE_CHECKING:
    from splade_anserini.encoding import Encoder, ImpactQueryEncoder
    from splade_anserini.explaining import Expansion, Match, SearchResult, Vector
    from splade_anserini.lucene import ImpactSearcher
    from splade_anserini.lucene.filters import Filters
    from splade_anserini.lucene.index_changes import ChangedIndex
    from splade_anserini.lucene.query_weights import QueryWeights
    from splade_anserini.records import ImpactVector, JsonDocument


class _View(NamedTuple):
    """What the index held when it was opened or reopened."""

    searcher: "ImpactSearcher"
    weights: "QueryWeights"


class ImpactIndex:
    """A Lucene impact index with the encoder of its queries, made from texts or opened from a directory.

    An index made from texts is in a temporary directory, which is removed when the object is closed, is not used any
    more, or the program ends. Several threads may search at the same time. It is a context manager.
    """

    def __init__(
        self,
        directory: Path,
        open_query_encoder: "Callable[[], ImpactQueryEncoder]",
        *,
        query_idf: float = 0.0,
        temporary: bool = False,
    ) -> None:
        """Open the index in `directory`; `from_texts` and `open` are more convenient."""
        from splade_anserini.lucene import ImpactSearcher
        from splade_anserini.lucene.query_weights import QueryWeights

        self.directory = directory
        """The directory of the Lucene index."""
        searcher = ImpactSearcher(directory)
        self._view = _View(searcher, QueryWeights(searcher, query_idf))
        self._encoder: Encoder | None = None
        self._open_query_encoder = open_query_encoder
        self._query_encoder: ImpactQueryEncoder | None = None
        self._lock = threading.Lock()
        home = directory.parent if temporary else None
        self._finalizer = weakref.finalize(self, _remove, home, os.getpid())

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str | Document],
        ids: Iterable[str] | None = None,
        *,
        encoder: "Encoder | StrPath" = DEFAULT_ENCODER,
        query_encoder: "Encoder | StrPath | None" = None,
        scale: float | None = None,
        top_k: int | None = None,
        store_text: bool = True,
        bars: ProgressBars = no_bars,
    ) -> Self:
        """Encode and index texts, or documents with ids and titles, as the commands `encode` and `index` do.

        `ids` of texts are "0", "1", … by default. `encoder` and `query_encoder` are what `open_encoder` takes or
        returns; queries are encoded by the query encoder that belongs to `encoder`. impact = round(weight × `scale`),
        by default the scale of an encoder that is given by its name, else 100. `top_k` keeps only the strongest entries
        of a text (static pruning). With `store_text`, hits have their texts. Texts with an empty vector are never
        found. `query_idf` is that of the encoder, and may be set.

        Raises `RecordError` or `InputError` for texts or ids that cannot be indexed or an encoder that cannot be
        opened.
        """
        from splade_anserini.encode import encode
        from splade_anserini.encoding import EncodeOptions, default_scale, open_encoder
        from splade_anserini.formats.corpora import InMemoryCorpus
        from splade_anserini.formats.given_texts import documents_of_texts
        from splade_anserini.index import index
        from splade_anserini.lucene import IndexOptions
        from splade_anserini.retrieval.index_queries import power_for_queries, query_encoder_opener

        documents = documents_of_texts(texts, ids)
        document_encoder = open_encoder(encoder) if isinstance(encoder, str | PathLike) else encoder
        options = EncodeOptions(scale=scale or default_scale(encoder), top_k=top_k, contents=store_text)
        home = Path(mkdtemp(prefix="splade-anserini-"))
        try:
            encode(InMemoryCorpus("texts", documents), document_encoder, home / "impacts", options, bars=bars)
            manifest = index(home / "impacts", home / "index", IndexOptions(store_text=store_text), bars=bars)
            shutil.rmtree(home / "impacts")
            opener = query_encoder_opener(query_encoder or encoder, manifest, "The index")
            power = power_for_queries(None, manifest, query_encoder)
            made = cls(home / "index", opener, query_idf=power, temporary=True)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        made._encoder = document_encoder
        return made

    @classmethod
    def open(
        cls,
        directory: StrPath,
        *,
        query_encoder: "Encoder | StrPath | None" = None,
        query_idf: float | None = None,
        force: bool = False,
        verify: bool = False,
    ) -> Self:
        """Open an impact index that `save`, the command `index` or Anserini wrote, or the one that an index card names.

        `query_encoder` is what `open_query_encoder` takes or returns, by default the encoder that the index was made
        with. Impacts of queries are multiplied by idf^`query_idf` of their tokens in the index, by default as the index
        records it, else as the encoder says. With `verify` all files of the index are checked for damage, however large
        it is. Raises `InputError` when there is no such index or it holds texts, `IntegrityError` when it is damaged,
        and `search` when the encoder is unknown, cannot be opened, or does not belong to the encoder of the documents
        (`MismatchError`; with `force` only a warning is logged).
        """
        from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
        from splade_anserini.cards.finding import resolve_index
        from splade_anserini.lucene.index_reader import check_index_files, require_impact_index
        from splade_anserini.retrieval.index_queries import power_for_queries, query_encoder_opener

        path = resolve_index(directory)
        check_index_files(path, any_size=verify)
        require_impact_index(path, force=force)
        manifest = read_manifest(path, IndexManifest)
        opener = query_encoder_opener(query_encoder, manifest, f"Index {path}", force=force)
        power = power_for_queries(query_idf, manifest, query_encoder, f"Index {path}", force=force)
        return cls(path, opener, query_idf=power)

    @property
    def query_encoder(self) -> "ImpactQueryEncoder":
        """The encoder of queries, opened when it is first used."""
        with self._lock:
            if self._query_encoder is None:
                self._query_encoder = self._open_query_encoder()
            return self._query_encoder

    @property
    def searcher(self) -> "ImpactSearcher":
        """Searches for impact vectors as they are, in what the index held when it was opened, or reopened."""
        return self._view.searcher

    @property
    def query_idf(self) -> float:
        """The power of idf by which impacts of queries are multiplied; it may be set."""
        return self._view.weights.alpha

    @query_idf.setter
    def query_idf(self, power: float) -> None:
        from splade_anserini.lucene.document_idf import document_idf_in, refuse_idf_twice
        from splade_anserini.lucene.query_weights import QueryWeights

        refuse_idf_twice(document_idf_in(self.directory), power, f"index {self.directory}")
        self._view = _View(self.searcher, QueryWeights(self.searcher, power))

    def weighted(self, vector: "ImpactVector") -> "ImpactVector":
        """Return the impacts of a query times idf^`query_idf` of their tokens, rounded, as a search multiplies them."""
        return self._view.weights.weighted(vector)

    def __len__(self) -> int:
        """Return the number of documents that can be found."""
        return self.searcher.documents

    def __repr__(self) -> str:
        return f"<ImpactIndex in {self.directory}: {len(self):,} documents>"

    @overload
    def search(  # type: ignore[overload-overlap]
        self, queries: "str | Expansion", k: int = 10, *, filters: "Filters" = ()
    ) -> Hits: ...
    @overload
    def search(self, queries: Iterable[str], k: int = 10, *, filters: "Filters" = ()) -> list[Hits]: ...
    def search(
        self, queries: "str | Expansion | Iterable[str]", k: int = 10, *, filters: "Filters" = ()
    ) -> Hits | list[Hits]:
        """Return the best `k` documents of a query, best first; for several queries, a list for each.

        A query is a text, or what one becomes with other weights (`expand(…).edited(…)`). Equal scores are in ascending
        order of ids. Documents without a token of the query are not hits. Filters such as "year>=1990", or a list of
        several, find only documents that fulfil all of them; see `index --filter-fields`.
        """
        from splade_anserini.explaining import Expansion

        _check_k(k)
        self._check_open()
        if isinstance(queries, str | Expansion):
            return next(self.search_vectors([self._vector(queries)], k, filters=filters))
        texts = list(queries)
        return list(self.search_vectors(self._encode(texts), k, filters=filters)) if texts else []

    def search_vectors(
        self, vectors: "Iterable[ImpactVector]", k: int = 10, *, with_text: bool = True, filters: "Filters" = ()
    ) -> Iterator[Hits]:
        """Yield the best `k` documents of each impact vector, `weighted`. Without `with_text`, hits have no text and no
        document.

        Raises `InputError` for a score from 2²⁴ up with `query_idf`, as it may have been rounded.
        """
        from splade_anserini.parallel import cpu_count

        _check_k(k)
        self._check_open()
        # The index may be reopened meanwhile.
        searcher, weights = self._view
        queries = [(str(position), weights.weighted(vector)) for position, vector in enumerate(vectors)]
        view = searcher.filtered(filters)
        rankings = view.rankings(queries, k, max(1, min(len(queries), cpu_count())))
        for query_id, (ids, scores, docs) in rankings:
            weights.check_score(query_id, max(scores, default=0))
            documents = searcher.stored(ids, docs) if with_text else [None] * len(docs)
            yield Hits(map(Hit.of, ids, scores, documents))

    def document(self, id: str) -> "JsonDocument | None":  # noqa: A002  # as `Hit.id`
        """Return a document with all fields that the index stores; None when it stores none.

        Raises `InputError` when there is no document with this id.
        """
        self._check_open()
        return self.searcher.document(id)

    def result(
        self, query: "str | Expansion | ImpactVector", k: int = 10, *, filters: "Filters" = ()
    ) -> "SearchResult":
        """Search for one query; return its best `k` documents, each with its stored record and the terms of its score.

        `query` is a text, what a text becomes with other weights (`expand(…).edited(…)`), or an impact vector.
        `values()` of the result is what `search --format json` prints.
        """
        from splade_anserini.explaining import Expansion, search_result
        from splade_anserini.explaining.vocabulary import spans_of
        from splade_anserini.retrieval.options import SearchOptions

        _check_k(k)
        self._check_open()
        text = query if isinstance(query, str) else query.text if isinstance(query, Expansion) else None
        vector, (searcher, weights) = self._vector(query), self._view
        spans = spans_of(self._query_encoder.encoder) if self._query_encoder else None
        searcher = searcher.filtered(filters)
        options = SearchOptions(hits=k)
        return search_result(searcher, vector, options, text=text, weights=weights, spans_of=spans)

    def expand(self, query: str) -> "Expansion":
        """Return what a query becomes: its tokens, their weights before idf, and from which word each comes."""
        from splade_anserini.explaining import expand

        self._check_open()
        return expand(query, self.query_encoder.encoder, self.query_encoder.scale)

    def vector(self, id: str) -> "Vector":  # noqa: A002  # as `Hit.id`
        """Return the impacts of a document as they are indexed. Raises `InputError` when the id is not indexed."""
        from splade_anserini.explaining import Vector
        from splade_anserini.lucene.doc_vectors import document_vector

        self._check_open()
        return Vector(id, document_vector(self.directory, id))

    def explain(self, query: "str | Expansion", id: str) -> "Match":  # noqa: A002  # as `Hit.id`
        """Return the score of a document for a query, term by term. Raises `InputError` when the id is not indexed.

        The score is that of `search`. `query` may be an expansion with other weights (`expand(…).edited(…)`).
        """
        from splade_anserini.explaining import explain_match
        from splade_anserini.lucene.doc_vectors import document_vector

        self._check_open()
        expansion = self.expand(query) if isinstance(query, str) else query
        document = document_vector(self.directory, id)
        return explain_match(self.weighted(expansion.impacts), document, id, expansion.impacts)

    def append(
        self, texts: Iterable[str | Document], ids: Iterable[str] | None = None, *, bars: ProgressBars = no_bars
    ) -> "ChangedIndex":
        """Encode texts with their ids, or documents, and add them. Raises `InputError` for ids that are there already.

        The files of the index change, in one step, and this object sees the new documents; others that have it open do
        after `reopen`. `update` and `delete` do the same. Raises `OutputError` while another process changes the index.
        """
        return self._changed_by(texts, ids, replace=False, bars=bars)

    def update(
        self, texts: Iterable[str | Document], ids: Iterable[str] | None = None, *, bars: ProgressBars = no_bars
    ) -> "ChangedIndex":
        """Add texts or documents as `append` does, in place of documents with the same ids."""
        return self._changed_by(texts, ids, replace=True, bars=bars)

    def delete(self, ids: Iterable[str]) -> "ChangedIndex":
        """Delete the documents with these ids; those that the index does not have are `missing` in the result."""
        from splade_anserini.indexing.changing import delete_documents

        self._check_open()
        changed = delete_documents(self.directory, ids)
        self.reopen()
        return changed

    def reopen(self) -> bool:
        """Search in what the index holds now; say whether it was changed since it was opened.

        It takes microseconds when it was not. A search that is running, in another thread too, ends in what it began
        with.
        """
        from splade_anserini.lucene.query_weights import QueryWeights

        self._check_open()
        with self._lock:
            searcher = self.searcher.reopened()
            if searcher is self.searcher:
                return False
            # The searcher that was is closed when no search needs it any more.
            self._view = _View(searcher, QueryWeights(searcher, self.query_idf))
            return True

    def _changed_by(
        self, texts: Iterable[str | Document], ids: Iterable[str] | None, *, replace: bool, bars: ProgressBars
    ) -> "ChangedIndex":
        from splade_anserini.formats.given_texts import documents_to_add
        from splade_anserini.indexing.changing import change_by_texts, encoder_of_index

        self._check_open()
        documents = documents_to_add(texts, ids)
        if self._encoder is None:
            self._encoder = encoder_of_index(self.directory)
        changed = change_by_texts(self.directory, documents, self._encoder, replace=replace, bars=bars)
        self.reopen()
        return changed

    def save(self, directory: StrPath, *, overwrite: bool = False) -> None:
        """Write the index to a directory, as the command `index` writes it. The object itself stays as it is.

        Raises `OutputError` when the directory holds something; with `overwrite` an index there is replaced.
        """
        from splade_anserini.indexing.existing import write_copy

        self._check_open()
        write_copy(self.directory, Path(directory), overwrite=overwrite)

    def close(self) -> None:
        """Close the index, and remove its files if they are temporary."""
        if self._finalizer.alive:
            self.searcher.close()
            self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        from splade_anserini.lucene.java.forks import require_own_java

        require_own_java()
        if not self._finalizer.alive:
            raise InputError("The index is closed.", do="Search and save before the end of its `with` block.")

    def _vector(self, query: "str | Expansion | ImpactVector") -> "ImpactVector":
        """Return the impacts of a query before idf."""
        from splade_anserini.explaining import Expansion

        if isinstance(query, str):
            return self.query_encoder.encode(query)
        return query.impacts if isinstance(query, Expansion) else query

    def _encode(self, texts: Sequence[str]) -> "list[ImpactVector]":
        from splade_anserini.records import Query
        from splade_anserini.retrieval.query_vectors import encode_queries

        queries = [Query(str(position), text) for position, text in enumerate(texts)]
        return list(encode_queries(queries, self.query_encoder).values())


def _remove(home: Path | None, process: int) -> None:
    """Remove the temporary directory of an index; a forked process leaves it alone."""
    if home is not None and process == os.getpid():
        shutil.rmtree(home, ignore_errors=True)


def _check_k(k: int) -> None:
    if k < 1:
        raise InputError(f"k must be at least 1, got {k}.")
