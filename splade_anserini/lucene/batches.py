"""Vectors of documents in batches for Java: read by several threads, counted and checked where nobody did so before."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

import orjson

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.formats.impacts import DocumentCounter, no_records, read_trusted
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.json_records import json_lines
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.vector_files import JsonDocuments, is_parquet, read_vectors
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.lucene.document_idf import (
    FrequencyCounter,
    WeightedDocuments,
    all_became_zero,
    require_unchanged,
    sum_of_frequencies,
)
from splade_anserini.lucene.frequency_text import (
    Entry,
    VerbatimEntry,
    entry,
    id_of_entry,
    record_of,
    repeated_token,
    trusted_entries,
    verbatim_entry,
)
from splade_anserini.lucene.lucene_writer import Batch
from splade_anserini.lucene.sources import ImpactSource, nothing_to_index
from splade_anserini.lucene.stored_fields import StoredFields, document_of_source
from splade_anserini.parallel import drawn_in_threads, taken_from
from splade_anserini.records import ImpactDocument

BATCH_SIZE = 256
"""Documents that are passed to Java at once: less than a megabyte. A call for each would cost as much as indexing."""

_BATCHES_AHEAD = 4
"""Batches that each reading thread prepares in advance."""


type _SourcedEntry = tuple[Entry, bytes | ImpactDocument]
"""An entry, and what it was made of: a line, or a document."""

type _CheckedBatch = tuple[Batch, list[str]]
"""A batch, and the ids to check: its own, and those of documents with empty vectors."""


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """What was counted while files were indexed that have no manifest, or whose impacts were multiplied by idf."""

    counts: Counts
    empty: int = 0
    """Documents with an empty vector, which are not indexed."""
    zeros: int = 0
    """Entries that were left out because their impact is 0."""
    ids_with_spaces: int = 0
    tokens_are_numbers: bool = False
    """Whether all tokens are numbers, which may be the ids of a vocabulary."""
    has_impacts: bool = True
    """Whether the sum of the impacts was counted; it is not when vectors were not parsed."""
    before_idf: Counts | None = None
    """The counts before impacts were multiplied by idf."""
    frequencies: Mapping[str, int] | None = None
    """Token → number of documents, counted again while impacts were multiplied; None: checksums make it needless."""

    def __add__(self, other: "ReadCounts") -> "ReadCounts":
        return ReadCounts(
            self.counts + other.counts,
            self.empty + other.empty,
            self.zeros + other.zeros,
            self.ids_with_spaces + other.ids_with_spaces,
            self.tokens_are_numbers and other.tokens_are_numbers,
            self.has_impacts and other.has_impacts,
            self.before_idf + other.before_idf if self.before_idf and other.before_idf else None,
            sum_of_frequencies([each.frequencies for each in (self, other) if each.frequencies is not None]),
        )

    @property
    def rounded_to_zero(self) -> int:
        """Entries that idf made 0."""
        return self.before_idf.postings - self.counts.postings if self.before_idf else 0

    @property
    def emptied(self) -> int:
        """Documents of which idf left no entry."""
        return self.before_idf.documents - self.counts.documents if self.before_idf else 0

    def check_products(self, source: ImpactSource) -> None:
        """Check that those impacts were multiplied by idf that had been counted for it, and that some are left.

        Raises `IntegrityError`, or `InputError` when none is.
        """
        if source.idf and self.before_idf:
            require_unchanged(source, self.before_idf.documents, self.frequencies)
            if not self.counts.documents:
                raise all_became_zero(source.path, source.idf.alpha)

    def differences(self, index: Counts) -> list[str]:
        """Return a phrase for each count of an index that differs."""
        expected = self.counts if self.has_impacts else self.counts.model_copy(update={"impacts": index.impacts})
        return index.differences(expected)


class BatchReader:
    """Reads the documents of a source once; use it as a context manager.

    Of files with a manifest, which `encode` wrote, only checksums and ids are checked again.
    """

    def __init__(
        self,
        source: ImpactSource,
        fields: StoredFields | None = None,
        *,
        with_records: bool = False,
        see: Callable[[Sequence[str], Batch], None] | None = None,
    ) -> None:
        """`fields` makes what is stored beside the postings; with `with_records` it is each record with its vector.

        `see` is called with each batch before it is yielded, and with all its ids, also those of empty vectors.
        """
        self._source = source
        self._fields = fields or None
        self._with_records = with_records
        self._see = see
        self._ids = DuplicateFinder()
        self._tallies: list[_Tally] = []

    def __enter__(self) -> Self:
        self._ids.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ids.__exit__(kind, error, trace)
        for tally in self._tallies:
            if tally.lookup:
                tally.lookup.close()

    def batches(self, threads: int) -> Generator[Batch]:
        """Yield all documents with a vector; with more than one thread, each reads ahead in some of the files."""
        files: SimpleQueue[Path] = SimpleQueue()
        for path in self._source.files.files:
            files.put(path)
        self._tallies = [_Tally(self._source, with_fields=bool(self._fields)) for _ in range(threads)]
        sources = [self._read(files, tally) for tally in self._tallies]
        with closing(drawn_in_threads(sources, _BATCHES_AHEAD)) as batches:
            for batch, ids in batches:
                # In this thread: buckets of ids are not shared between threads.
                for id_ in ids:
                    self._ids.add(id_)
                if self._see:
                    self._see(ids, batch)
                yield batch

    def counts(self, *, may_be_empty: bool = False) -> ReadCounts | None:
        """Check that ids are unique and return what was read, once all is; None with a manifest and without idf.

        Raises `RecordError` for a duplicate id and, unless it `may_be_empty`, `InputError` when there were no documents
        or only empty vectors.
        """
        if self._source.stored and self._fields:
            key = "\n".join(map(str, self._source.files.files))
            self._source.stored.record_use(key, [tally.lookup for tally in self._tallies if tally.lookup])
        if self._source.is_checked and not self._source.idf:
            refuse_duplicates(self._ids, self._located_ids, "document id")
            return None
        tallies = self._tallies
        counts = sum((tally.counts for tally in tallies), Counts())
        empty = sum(tally.counter.empty for tally in tallies)
        if not counts.documents and not may_be_empty:
            raise nothing_to_index(self._source) if empty else no_records(self._source.path)
        refuse_duplicates(self._ids, self._located_ids, "document id")
        read = ReadCounts(
            counts,
            0 if self._source.is_checked else empty,
            sum(tally.reader.zeros for tally in tallies),
            sum(tally.ids_with_spaces for tally in tallies),
            not self._source.is_checked
            and all(tally.tokens_are_numbers for tally in tallies if tally.counts.documents),
            has_impacts=not any(tally.verbatim_documents for tally in tallies),
        )
        if self._source.idf is None:
            return read
        read = self._with_products(read)
        if not may_be_empty:
            read.check_products(self._source)
        return read

    def _with_products(self, read: ReadCounts) -> ReadCounts:
        """Return counts of what was read with those of the products in their place."""
        weights = [tally.weights for tally in self._tallies if tally.weights]
        frequencies = [each.before.frequencies for each in weights if isinstance(each.before, FrequencyCounter)]
        return replace(
            read,
            counts=sum((each.after.counts for each in weights), Counts()),
            before_idf=read.counts,
            frequencies=sum_of_frequencies(frequencies),
        )

    def _located_ids(self) -> Iterator[tuple[Location, str]]:
        reader = VectorReader(self._source.reading)
        for path in self._source.files.files:
            for location, document in self._source.read_file(path, reader):
                yield location, document.id

    def _read(self, files: "SimpleQueue[Path]", tally: "_Tally") -> Generator[_CheckedBatch]:
        """Yield the documents of the files in a queue that several readers share."""
        entries: list[_SourcedEntry] = []
        ids: list[str] = []
        for path in taken_from(files):
            self._source.check_file(path)
            is_trusted = self._source.is_checked and not tally.weights
            for entry_ in _trusted_entries(path, ids) if is_trusted else self._entries(path, tally, ids):
                entries.append(entry_)
                if len(entries) == BATCH_SIZE:
                    yield (BATCH_SIZE, self._json_array(entries, ids, tally)), ids.copy()
                    entries.clear()
                    ids.clear()
        if entries or ids:
            yield (len(entries), self._json_array(entries, ids, tally)), ids

    def _json_array(self, entries: "Sequence[_SourcedEntry]", ids: Sequence[str], tally: "_Tally") -> bytes:
        """Return a batch: for each document its id, its text, and what else is to be stored."""
        parts: list[bytes] = []
        for ((id_, text), _), stored in zip(entries, self._stored(entries, ids, tally), strict=True):
            parts += (b'"', id_, b'","', text, b'"')
            if stored:
                parts += (b",", stored)
            parts.append(b",")
        return b"".join((b"[", *parts[:-1], b"]"))

    def _stored(self, entries: "Sequence[_SourcedEntry]", ids: Sequence[str], tally: "_Tally") -> list[bytes]:
        """Return what is stored of each document, as JSON."""
        if self._with_records:
            return [orjson.dumps(_record_of(source).decode()) for _, source in entries]
        if self._fields is None:
            return [b""] * len(entries)
        make = self._fields.uncounted
        if tally.lookup is None:
            return [make(document_of_source(source)) for _, source in entries]
        known = dict(zip(ids, tally.lookup.fields(ids), strict=True))
        return [known[id_of_entry(entry_)] or make(document_of_source(source)) for entry_, source in entries]

    def _entries(self, path: Path, tally: "_Tally", ids: list[str]) -> "Iterator[_SourcedEntry]":
        """Yield the entries of a file that is not read as it is; count its documents and add their ids to `ids`."""
        is_json = self._source.read_file is read_vectors and not is_parquet(path)
        is_stored = self._with_records or self._fields
        if is_json and self._source.reading.are_defaults and not is_stored and not tally.weights:
            yield from _verbatim_entries(path, tally, ids)
            return
        trusted = self._source.is_sealed_file(path)
        for location, read in read_trusted(path) if trusted else self._source.read_file(path, tally.reader):
            tally.counter.add(read)
            ids.append(read.id)
            document = tally.weights.weighted(read, location) if tally.weights else read
            if document.vector:
                yield entry(document), document


def _record_of(source: bytes | ImpactDocument) -> bytes:
    return source if isinstance(source, bytes) else record_of(source)


def _trusted_entries(path: Path, ids: list[str]) -> "Iterator[_SourcedEntry]":
    """Yield the entries of a file that `encode` wrote, and add the ids of all its documents to `ids`."""
    for line_entry, line in trusted_entries(path):
        ids.append(id_of_entry(line_entry))
        if line_entry[1]:
            yield line_entry, line


def check_files_and_ids(source: ImpactSource) -> None:
    """Check files with a manifest for a program that reads them itself.

    Raises `IntegrityError` for a changed file, `RecordError` for a duplicate id.
    """
    with BatchReader(source) as reader:
        for _ in reader.batches(1):
            pass
        reader.counts()


def _verbatim_entries(path: Path, tally: "_Tally", ids: list[str]) -> "Iterator[_SourcedEntry]":
    """Yield the entries of a JSON file; records that need no change are not parsed."""
    documents = JsonDocuments(tally.reader)
    for location, line in json_lines(path):
        if verbatim := verbatim_entry(line):
            ids.append(verbatim.id)
            tally.add(verbatim)
            yield verbatim.entry, b""
        elif document := documents.read(line, location):
            ids.append(document.id)
            tally.counter.add(document)
            if document.vector:
                yield entry(document), document


def refuse_repeated_tokens(source: ImpactSource) -> None:
    """Raise `RecordError` for the first vector with one token twice, of those that were not parsed."""
    for path in source.files.files:
        if source.read_file is read_vectors and not is_parquet(path):
            for location, line in json_lines(path):
                if token := repeated_token(line):
                    raise location.error(f"duplicate token {token!r}", expected="each token once")


class _Tally:
    """What one thread reads with, and its counts."""

    def __init__(self, source: ImpactSource, *, with_fields: bool) -> None:
        self.lookup = source.stored.open() if source.stored and with_fields else None
        # The first reading, which counts, said how records are read.
        self.reader = VectorReader(source.reading, notes=source.idf is None)
        self.weights = WeightedDocuments(source, source.idf) if source.idf else None
        self.counter = self.weights.before if self.weights else DocumentCounter()
        self.verbatim_documents = self.verbatim_postings = self.verbatim_ids_with_spaces = 0
        self.verbatim_numbers = True
        """Whether all tokens of verbatim entries are numbers."""

    def add(self, verbatim: VerbatimEntry) -> None:
        """Count a document that was not parsed."""
        self.verbatim_documents += 1
        self.verbatim_postings += verbatim.postings
        self.verbatim_ids_with_spaces += " " in verbatim.id
        self.verbatim_numbers &= verbatim.tokens_are_numbers

    @property
    def counts(self) -> Counts:
        """The counts of all documents; of the impacts, those of the ones that were parsed."""
        verbatim = Counts(documents=self.verbatim_documents, postings=self.verbatim_postings)
        return self.counter.counts + verbatim

    @property
    def ids_with_spaces(self) -> int:
        """How many ids contain spaces."""
        return self.counter.ids_with_spaces + self.verbatim_ids_with_spaces

    @property
    def tokens_are_numbers(self) -> bool:
        """Whether all tokens are numbers."""
        parsed = self.counter.counts.documents
        return self.verbatim_numbers and (self.reader.tokens_are_numbers if parsed else bool(self.verbatim_documents))
