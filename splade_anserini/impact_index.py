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

from splade_anserini.errors import InputError, counted
from splade_anserini.progress import ProgressBars, no_bars
from splade_anserini.records import DEFAULT_SCALE, Document, StrPath

if TYPE_CHECKING:
    from splade_anserini.artifacts.manifests import IndexManifest
    from splade_anserini.encoding import Encoder, ImpactQueryEncoder
    from splade_anserini.explaining import Expansion, Match, SearchResult
    from splade_anserini.records import ImpactVector, JsonDocument


class _Hit(NamedTuple):
    id: str
    score: float
    """The dot product of the impacts of query and document."""
    text: str | None
    """None when the index does not store texts."""


class Hit(_Hit):
    """A document that a search found: its id, score and text."""

    document: "JsonDocument | None" = None
    """The document with all fields that the index stores; None when it stores none."""


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
        self.searcher: ImpactSearcher = ImpactSearcher(directory)
        """Searches for impact vectors as they are."""
        self._weights = QueryWeights(self.searcher, query_idf)
        self._open_query_encoder = open_query_encoder
        self._query_encoder: ImpactQueryEncoder | None = None
        self._lock = threading.Lock()
        home = directory.parent if temporary else None
        self._finalizer = weakref.finalize(self, _remove, home, os.getpid())

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        ids: Iterable[str] | None = None,
        *,
        encoder: "Encoder | StrPath" = "splade-mini",
        query_encoder: "Encoder | StrPath | None" = None,
        scale: float | None = None,
        top_k: int | None = None,
        store_text: bool = True,
        bars: ProgressBars = no_bars,
    ) -> Self:
        """Encode and index texts, as the commands `encode` and `index` do.

        `ids` are "0", "1", … by default. `encoder` and `query_encoder` are what `open_encoder` takes or returns;
        queries are encoded by the query encoder that belongs to `encoder`. impact = round(weight × `scale`), by default
        the scale of an encoder that is given by its name, else 100. `top_k` keeps only the strongest entries of a text
        (static pruning). With `store_text`, hits have their texts. Texts with an empty vector are never found.
        `query_idf` is that of the encoder, and may be set.

        Raises `RecordError` or `InputError` for texts or ids that cannot be indexed or an encoder that cannot be
        opened.
        """
        from splade_anserini.encode import encode
        from splade_anserini.encoding import EncodeOptions, default_scale, open_encoder
        from splade_anserini.formats.corpora import InMemoryCorpus
        from splade_anserini.index import index
        from splade_anserini.lucene import IndexOptions

        documents = _documents(texts, ids)
        document_encoder = open_encoder(encoder) if isinstance(encoder, str | PathLike) else encoder
        options = EncodeOptions(scale=scale or default_scale(encoder), top_k=top_k, contents=store_text)
        home = Path(mkdtemp(prefix="splade-anserini-"))
        try:
            encode(InMemoryCorpus("texts", documents), document_encoder, home / "impacts", options, bars=bars)
            manifest = index(home / "impacts", home / "index", IndexOptions(store_text=store_text), bars=bars)
            shutil.rmtree(home / "impacts")
            opener = _opener(query_encoder or encoder, manifest, "The index")
            return cls(home / "index", opener, query_idf=_power(None, manifest, query_encoder), temporary=True)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise

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

        path = resolve_index(directory)
        check_index_files(path, any_size=verify)
        require_impact_index(path, force=force)
        manifest = read_manifest(path, IndexManifest)
        opener = _opener(query_encoder, manifest, f"Index {path}", force=force)
        power = _power(query_idf, manifest, query_encoder, f"Index {path}", force=force)
        return cls(path, opener, query_idf=power)

    @property
    def query_encoder(self) -> "ImpactQueryEncoder":
        """The encoder of queries, opened when it is first used."""
        with self._lock:
            if self._query_encoder is None:
                self._query_encoder = self._open_query_encoder()
            return self._query_encoder

    @property
    def query_idf(self) -> float:
        """The power of idf by which impacts of queries are multiplied; it may be set."""
        return self._weights.alpha

    @query_idf.setter
    def query_idf(self, power: float) -> None:
        from splade_anserini.lucene.document_idf import document_idf_in, refuse_idf_twice
        from splade_anserini.lucene.query_weights import QueryWeights

        refuse_idf_twice(document_idf_in(self.directory), power, f"index {self.directory}")
        self._weights = QueryWeights(self.searcher, power)

    def weighted(self, vector: "ImpactVector") -> "ImpactVector":
        """Return the impacts of a query times idf^`query_idf` of their tokens, rounded, as a search multiplies them."""
        return self._weights.weighted(vector)

    def __len__(self) -> int:
        """Return the number of documents that can be found."""
        return self.searcher.documents

    def __repr__(self) -> str:
        return f"<ImpactIndex in {self.directory}: {len(self):,} documents>"

    @overload
    def search(self, queries: "str | Expansion", k: int = 10) -> list[Hit]: ...  # type: ignore[overload-overlap]
    @overload
    def search(self, queries: Iterable[str], k: int = 10) -> list[list[Hit]]: ...
    def search(self, queries: "str | Expansion | Iterable[str]", k: int = 10) -> list[Hit] | list[list[Hit]]:
        """Return the best `k` documents of a query, best first; for several queries, a list for each.

        A query is a text, or what one becomes with other weights (`expand(…).edited(…)`). Equal scores are in ascending
        order of ids. Documents without a token of the query are not hits.
        """
        from splade_anserini.explaining import Expansion

        _check_k(k)
        self._check_open()
        if isinstance(queries, str | Expansion):
            return next(self.search_vectors([self._vector(queries)], k))
        texts = list(queries)
        return list(self.search_vectors(self._encode(texts), k)) if texts else []

    def search_vectors(
        self, vectors: "Iterable[ImpactVector]", k: int = 10, *, with_text: bool = True
    ) -> Iterator[list[Hit]]:
        """Yield the best `k` documents of each impact vector, `weighted`. Without `with_text`, hits have no text and no
        document.

        Raises `InputError` for a score from 2²⁴ up with `query_idf`, as it may have been rounded.
        """
        from splade_anserini.parallel import cpu_count

        _check_k(k)
        self._check_open()
        queries = [(str(position), self.weighted(vector)) for position, vector in enumerate(vectors)]
        rankings = self.searcher.rankings(queries, k, max(1, min(len(queries), cpu_count())))
        for query_id, (ids, scores, docs) in rankings:
            self._weights.check_score(query_id, max(scores, default=0))
            documents = self.searcher.stored(ids, docs) if with_text else [None] * len(docs)
            yield list(map(_hit, ids, scores, documents))

    def document(self, id: str) -> "JsonDocument | None":  # noqa: A002  # as `Hit.id`
        """Return a document with all fields that the index stores; None when it stores none.

        Raises `InputError` when there is no document with this id.
        """
        self._check_open()
        return self.searcher.document(id)

    def result(self, query: "str | Expansion | ImpactVector", k: int = 10) -> "SearchResult":
        """Search for one query; return its best `k` documents, each with its stored record and the terms of its score.

        `query` is a text, what a text becomes with other weights (`expand(…).edited(…)`), or an impact vector.
        `values()` of the result is what `search --format json` prints.
        """
        from splade_anserini.explaining import Expansion, search_result
        from splade_anserini.retrieval.options import SearchOptions

        _check_k(k)
        self._check_open()
        text = query if isinstance(query, str) else query.text if isinstance(query, Expansion) else None
        vector = self._vector(query)
        return search_result(self.searcher, vector, SearchOptions(hits=k), text=text, weights=self._weights)

    def expand(self, query: str) -> "Expansion":
        """Return what a query becomes: its tokens, their weights before idf, and from which word each comes."""
        from splade_anserini.explaining import expand

        self._check_open()
        return expand(query, self.query_encoder.encoder, self.query_encoder.scale)

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

    def save(self, directory: StrPath, *, overwrite: bool = False) -> None:
        """Write the index to a directory, as the command `index` writes it. The object itself stays as it is.

        Raises `OutputError` when the directory holds something; with `overwrite` an index there is replaced.
        """
        from splade_anserini.artifacts.files import whole_directory
        from splade_anserini.artifacts.outputs import already_exists
        from splade_anserini.artifacts.sharded_index import copy_index
        from splade_anserini.indexing.existing import check_index_output

        self._check_open()
        output = Path(directory)
        check_index_output(output, self.directory)
        if not overwrite and output.exists() and any(output.iterdir()):
            raise already_exists(output)
        with whole_directory(output, replace=True) as partial:
            copy_index(self.directory, partial)

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


def _documents(texts: Iterable[str], ids: Iterable[str] | None) -> list[Document]:
    """Return texts with their ids as documents. Raises `InputError` when one is missing or not a string."""
    if isinstance(texts, str) or isinstance(ids, str):
        name = "texts" if isinstance(texts, str) else "ids"
        raise InputError(f"{name} is a single string.", expected="a list of strings", do="Put it into a list.")
    text_list = list(texts)
    id_list = [str(position) for position in range(len(text_list))] if ids is None else list(ids)
    if len(id_list) != len(text_list):
        texts_and_ids = f"{counted(len(text_list), 'text')} and {counted(len(id_list), 'id')}"
        raise InputError(f"There are {texts_and_ids}.", expected="one id for each text")
    if not text_list:
        raise InputError("There are no texts to index.")
    for name, values in (("text", text_list), ("id", id_list)):
        for position, value in enumerate(values):
            if not isinstance(value, str):
                raise InputError(f"{name}s[{position}] is {value!r}.", expected="a string")
    return [Document(id_, "", text) for id_, text in zip(id_list, text_list, strict=True)]


def _check_k(k: int) -> None:
    if k < 1:
        raise InputError(f"k must be at least 1, got {k}.")


def _opener(
    encoder: "Encoder | StrPath | None", manifest: "IndexManifest | None", source: str, *, force: bool = False
) -> "Callable[[], ImpactQueryEncoder]":
    """Return a function that opens the query encoder of an index; it fails when it does not fit the index."""

    def open_query_encoder() -> "ImpactQueryEncoder":
        from splade_anserini.encoding import ImpactQueryEncoder
        from splade_anserini.encoding.matching import check_match
        from splade_anserini.retrieval.options import QueryOptions
        from splade_anserini.retrieval.query_vectors import open_query_encoder_for

        if encoder is None or isinstance(encoder, str | PathLike):
            options = QueryOptions(encoder=None if encoder is None else str(encoder), force=force)
            return open_query_encoder_for(manifest, source, options, low_latency=True)
        scale = manifest.scale if manifest and manifest.scale else DEFAULT_SCALE
        if manifest:
            check_match(manifest, encoder, scale, force=force)
        return ImpactQueryEncoder(encoder, scale=scale)

    return open_query_encoder


def _power(
    query_idf: float | None,
    manifest: "IndexManifest | None",
    encoder: "Encoder | StrPath | None",
    source: str = "The index",
    *,
    force: bool = False,
) -> float:
    """Return the power of idf for queries of an index: the one that is given, else as `query_idf_for` says."""
    from splade_anserini.lucene.document_idf import refuse_idf_twice
    from splade_anserini.retrieval.options import QueryOptions
    from splade_anserini.retrieval.query_settings import query_idf_for

    if query_idf is not None:
        refuse_idf_twice(manifest.document_idf if manifest else None, query_idf, source, force=force)
        return query_idf
    name = str(encoder) if isinstance(encoder, str | PathLike) else None
    return query_idf_for(manifest, QueryOptions(encoder=name), source)


def _hit(id_: str, score: float, document: "JsonDocument | None") -> Hit:
    from splade_anserini.lucene.stored_documents import text_of

    hit = Hit(id_, score, text_of(document))
    hit.document = document
    return hit
