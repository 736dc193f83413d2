"""The indexes that are served: opened, counted while they are used, and replaced by newer ones."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.artifacts.sharded_index import fingerprint_of_index
from splade_anserini.cards.finding import resolve_index
from splade_anserini.errors import InputError
from splade_anserini.impact_index import ImpactIndex
from splade_anserini.serving.options import ServedOptions
from splade_anserini.serving.query_encoder import ServedEncoder, ServedIndex, can_encode, query_options

if TYPE_CHECKING:
    from splade_anserini.explaining import Match
    from splade_anserini.explaining.snippets import SpansOf
    from splade_anserini.lucene import Bm25Searcher
    from splade_anserini.lucene.lucene_searcher import LuceneSearcher
    from splade_anserini.lucene.ranking import Ranking
    from splade_anserini.records import ImpactVector, JsonDocument

_log = logging.getLogger(__name__)

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)=(.+)")


@dataclass(frozen=True, slots=True)
class IndexSource:
    """An index to serve: its name, its directory, and that of a text index of the same collection."""

    name: str
    directory: Path
    text: Path | None


def index_sources(options: ServedOptions) -> list[IndexSource]:
    """Return the indexes that options name. Raises `InputError` for a name that occurs twice or has no index."""
    impacts: dict[str, Path] = {}
    for value in options.index:
        name, directory = _named(value)
        path = resolve_index(directory)
        name = name or path.resolve().name
        if name in impacts:
            raise InputError(f"Two indexes have the name {name}.", do="Name them: --index NAME=DIR")
        impacts[name] = path
    texts: dict[str, Path] = {}
    for value in options.bm25:
        name, directory = _named(value)
        name = name or next(iter(impacts))
        if name not in impacts or name in texts:
            problem = "belongs to no --index" if name not in impacts else "is given twice"
            raise InputError(f"--bm25 {name}={directory} {problem}.", expected=f"{' or '.join(impacts)} as the name")
        texts[name] = Path(directory)
    return [IndexSource(name, path, texts.get(name)) for name, path in impacts.items()]


def _named(value: str) -> tuple[str, str]:
    """Split NAME=DIR; a directory that exists is taken as it is."""
    match = None if Path(value).exists() else _NAMED.fullmatch(value)
    return (match[1], match[2]) if match else ("", value)


@dataclass(frozen=True, slots=True)
class ServedMatch:
    """A score and its terms."""

    match: "Match"
    is_whole: bool
    """Whether all tokens of the document were read: it takes long unless their vector is stored."""

    def values(self) -> dict[str, object]:
        """Return the match as JSON values."""
        values = self.match.values()
        return values if self.is_whole else {**values, "document_only": None}


class OpenedIndex:
    """An index that is open, with the encoder of its queries. It is closed when it is retired and nobody uses it."""

    def __init__(
        self,
        source: IndexSource,
        options: ServedOptions,
        before: "OpenedIndex | None" = None,
        *,
        encodes: bool = True,
    ) -> None:
        """Open an index and search it once, so that the first request is not slow.

        The query encoder is that of `before`, the index that this one replaces, where it still fits; unless it
        `encodes`, there is none. Raises what `ImpactIndex.open` and `open_bm25_searcher` raise.
        """
        from splade_anserini.lucene import open_bm25_searcher
        from splade_anserini.retrieval.hybrid import warn_of_changed_documents

        self.source = source
        self.fingerprint = fingerprint(source)
        self.generation: int = before.generation + 1 if before else 1
        self.manifest = read_manifest(source.directory, IndexManifest)
        self.can_encode = encodes and can_encode(self.manifest, options)
        """Whether texts can be searched for, not only vectors."""
        self.index: ImpactIndex = _opened(source.directory, self.manifest, options, before)
        try:
            self.text: Bm25Searcher | None = open_bm25_searcher(source.text) if source.text else None
            if source.text:
                warn_of_changed_documents(source.directory, source.text)
            self._warm_up()
        except BaseException:
            self.index.close()
            raise
        self.users = 0
        self.is_retired = False

    @property
    def name(self) -> str:
        """The name by which requests call it."""
        return self.source.name

    @property
    def has_texts(self) -> bool:
        """Whether it has a text index, for the engines bm25 and hybrid."""
        return self.text is not None

    @cached_property
    def encoder(self) -> ServedEncoder:
        """The encoder of an index that has one."""
        return ServedEncoder(self.index.query_encoder)

    @property
    def encodes_together(self) -> bool:
        """Whether the encoder runs several texts at once."""
        return self.can_encode and self.encoder.encodes_together

    @property
    def is_idle(self) -> bool:
        """Whether it may be closed."""
        return self.is_retired and not self.users

    @property
    def paths(self) -> dict[str, str]:
        """Paths that messages may contain, with what answers say instead."""
        return paths_of(self.source, self.manifest)

    def description(self) -> dict[str, object]:
        """Return what a client may know of it."""
        return describe(self, self.manifest, len(self.index), self.index.query_idf)

    def explain(self, vector: "ImpactVector", doc_id: str, query_idf: float | None) -> "ServedMatch | None":
        """Return the score of a document term by term; None when there is no document with this id."""
        from splade_anserini.explaining import explain_match
        from splade_anserini.lucene.doc_vectors import stored_vector

        searcher = self.index.searcher
        doc = searcher.docs_of([doc_id]).get(doc_id)
        if doc is None:
            return None
        weighted = self.weighted(vector, query_idf)
        whole = stored_vector(searcher, doc)
        document = searcher.impacts(weighted, [doc])[0] if whole is None else whole
        return ServedMatch(explain_match(weighted, document, doc_id, vector), is_whole=whole is not None)

    def weighted(self, vector: "ImpactVector", query_idf: float | None) -> "ImpactVector":
        """Return a query times idf to a power, by default that of the index."""
        from splade_anserini.lucene.query_weights import QueryWeights

        if query_idf is None or query_idf == self.index.query_idf:
            return self.index.weighted(vector)
        return QueryWeights(self.index.searcher, query_idf).weighted(vector)

    def check_scores(self, query: str, scores: Sequence[float], query_idf: float | None) -> None:
        """Raise `InputError` for a score that may have been rounded, where impacts are multiplied by idf."""
        from splade_anserini.lucene.query_weights import check_exact

        power = self.index.query_idf if query_idf is None else query_idf
        if power or (self.manifest and self.manifest.document_idf):
            check_exact(query, max(scores, default=0))

    @cached_property
    def spans_of(self) -> "SpansOf | None":
        """What finds the tokens of the encoder in texts, if anything does."""
        return self.encoder.spans_of if self.can_encode else None

    @cached_property
    def text_spans_of(self) -> "SpansOf | None":
        """What finds the words of the text index in texts."""
        from splade_anserini.serving.highlighting import WordSpans

        return WordSpans(self.text) if self.text else None

    def rankings(
        self, vectors: "Sequence[ImpactVector]", hits: int, threads: int, filters: Sequence[str] = ()
    ) -> "list[Ranking]":
        """Return the best documents of each query, of those that fulfil `filters`.

        Raises `InputError` for a filter that is not valid.
        """
        return _rankings(self.index.searcher.filtered(filters), vectors, hits, threads)

    def field_rankings(
        self, vectors: "Sequence[ImpactVector]", hits: int, fields: Mapping[str, float], filters: Sequence[str] = ()
    ) -> "list[Ranking]":
        """Return the best documents of each query, searched for in some fields of the index, each with a boost.

        Raises `InputError` for a field that the index does not have, and for a filter that is not valid.
        """
        searcher = self.index.searcher
        has = searcher.searchable_fields()
        if missing := [name for name in fields if name not in has]:
            raise InputError(
                f"Index {self.source.directory} has no field {missing[0]!r} to search in.",
                expected=f"one of {', '.join(has)}",
            )
        view = searcher.filtered(filters)
        return [view.rank_fields(vector, hits, fields) for vector in vectors]

    def text_rankings(self, texts: Sequence[str], hits: int, threads: int) -> "list[Ranking]":
        """Return the best documents of each text, by BM25."""
        return _rankings(self.text, texts, hits, threads) if self.text else []

    def records(self, docs: Sequence[int], *, is_text: bool = False) -> list[bytes | None]:
        """Return stored records by Lucene's numbers of documents; `is_text` says of which index the numbers are."""
        searcher: LuceneSearcher[Any] = self.text if is_text and self.text else self.index.searcher
        return searcher.record_bytes(docs)

    def records_by_id(self, ids: Sequence[str], *, is_text: bool) -> dict[str, bytes | None]:
        """Return records that the text index, or else the impact index, stores, by the ids of their documents."""
        if not ids or (is_text and not self.text):
            return {}
        searcher: LuceneSearcher[Any] = self.text if is_text and self.text else self.index.searcher
        docs = searcher.docs_of(ids)
        return dict(zip(docs, self.records(list(docs.values()), is_text=is_text), strict=True))

    def document(self, doc_id: str) -> "tuple[bool, JsonDocument | None]":
        """Return whether there is a document with this id, and what is stored of it."""
        from splade_anserini.lucene.stored_documents import document_of_record

        both = [self.records_by_id([doc_id], is_text=is_text) for is_text in (False, True)]
        stored = [records[doc_id] for records in both if records.get(doc_id) is not None]
        return any(both), document_of_record(doc_id, stored[0]) if stored else None

    @cached_property
    def is_own(self) -> bool:
        """Whether this package wrote what is stored, in JSON; Anserini stores any text."""
        from splade_anserini.artifacts.text_index_manifest import TextIndexManifest

        text = read_manifest(self.source.text, TextIndexManifest) if self.source.text else self.manifest
        return self.manifest is not None and text is not None

    def reopen(self) -> bool:
        """Search in what a change has made of the index. Called by the thread that searches, between two searches.

        Return False for an index that was made in another way meanwhile, which has to be opened as a new one.
        """
        # Read first: what is changed after it is found by the next look at the index.
        fingerprint_now, manifest = fingerprint(self.source), read_manifest(self.source.directory, IndexManifest)
        if not _same_encoder(self.manifest, manifest):
            return False
        if self.index.reopen():
            self.generation += 1
        self.fingerprint, self.manifest = fingerprint_now, manifest
        return True

    def close(self) -> None:
        """Close the index and the text index."""
        self.index.close()
        if self.text:
            self.text.close()

    def _warm_up(self) -> None:
        vector = self.encoder.encode(["the"])[0] if self.can_encode else {}
        next(self.index.search_vectors([vector or {"the": 1}], 10))
        if self.text:
            dict(self.text.rankings([("", "the")], 10))


def _rankings(searcher: "LuceneSearcher[Any]", queries: Sequence[Any], hits: int, threads: int) -> "list[Ranking]":
    if threads == 1:
        return searcher.rank_all(queries, hits)
    numbered = ((str(position), query) for position, query in enumerate(queries))
    return [ranking for _, ranking in searcher.rankings(numbered, hits, threads)]


def fingerprint(source: IndexSource) -> str:
    """Return what changes when the index or its text index does."""
    paths = [source.directory, *([source.text] if source.text else [])]
    return " ".join(fingerprint_of_index(path) for path in paths)


def paths_of(source: IndexSource, manifest: IndexManifest | None) -> dict[str, str]:
    """Return the paths that messages about an index may contain, with what answers say instead."""
    names = {str(source.directory): source.name, str(source.directory.resolve()): source.name}
    if source.text:
        names |= {str(source.text): f"{source.name} (texts)"}
    if manifest and manifest.encoder:
        names[manifest.encoder.name] = Path(manifest.encoder.name).name
    return names


def describe(index: ServedIndex, manifest: IndexManifest | None, documents: int, query_idf: float) -> dict[str, object]:
    """Return what a client may know of an index."""
    encoder = manifest.encoder.name if manifest and manifest.encoder else None
    return {
        "name": index.name,
        "documents": documents,
        "engines": ["impacts", *(["bm25", "hybrid"] if index.has_texts else [])],
        "encoder": encoder and Path(encoder).name,
        "texts": index.can_encode,
        "query_idf": query_idf,
        "filters": (manifest.filter_fields if manifest else None) or {},
        "generation": index.generation,
    }


def _opened(
    directory: Path, manifest: IndexManifest | None, options: ServedOptions, before: OpenedIndex | None
) -> ImpactIndex:
    """Open an index as `ImpactIndex.open` does, with an encoder that runs on one processor."""
    from splade_anserini.lucene.index_reader import check_index_files, require_impact_index
    from splade_anserini.retrieval.query_settings import query_idf_for
    from splade_anserini.retrieval.query_vectors import open_query_encoder_for

    check_index_files(directory, any_size=options.verify)
    require_impact_index(directory, force=options.force)
    if before and before.can_encode and not can_encode(manifest, options):
        raise InputError(f"Index {directory} has no encoder any more.", expected="a manifest that names one")
    is_same = before is not None and _same_encoder(before.manifest, manifest)
    # Known already where only documents were changed; looking it up logs a note.
    query = query_options(options, before.index.query_idf if before and is_same else options.query_idf)
    name = f"Index {directory}"
    kept = before.index.query_encoder if before and is_same and before.can_encode else None
    return ImpactIndex(
        directory,
        lambda: kept or open_query_encoder_for(manifest, name, query, low_latency=True),
        query_idf=query_idf_for(manifest, query, name),
    )


def _same_encoder(before: IndexManifest | None, now: IndexManifest | None) -> bool:
    if before is None or now is None:
        return before is now
    facts = [(m.encoder, m.scale, m.query_max_length, m.query_idf, m.document_idf) for m in (before, now)]
    return facts[0] == facts[1]


class Catalog:
    """The indexes by their names, each in its newest state. Used by the event loop only."""

    def __init__(self, opened: Sequence[OpenedIndex]) -> None:
        self._opened = {index.name: index for index in opened}
        self._retired: list[OpenedIndex] = []

    def __iter__(self) -> Iterator[OpenedIndex]:
        return iter(list(self._opened.values()))

    @contextmanager
    def used(self, index: OpenedIndex) -> Iterator[OpenedIndex]:
        """Keep an index open for the block."""
        index.users += 1
        try:
            yield index
        finally:
            index.users -= 1

    def replace(self, index: OpenedIndex) -> None:
        """Serve a newer state of an index from now on."""
        before = self._opened[index.name]
        before.is_retired = True
        self._retired.append(before)
        self._opened[index.name] = index

    def take_idle(self) -> list[OpenedIndex]:
        """Return the retired indexes that nobody uses any more; they are forgotten here."""
        idle = [index for index in self._retired if index.is_idle]
        self._retired = [index for index in self._retired if not index.is_idle]
        return idle
