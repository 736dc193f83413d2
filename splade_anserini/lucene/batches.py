"""Vectors of documents in batches for Java: read by several threads, counted and checked where nobody did so before."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

import orjson

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.formats.impacts import DocumentCounter, no_records
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.json_records import json_lines
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.vector_files import JsonDocuments, is_parquet, read_vectors
from splade_anserini.formats.vectors import VectorReader
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
from splade_anserini.parallel import prefetch

BATCH_SIZE = 256
"""Documents that are passed to Java at once: less than a megabyte. A call for each would cost as much as indexing."""

_BATCHES_AHEAD = 4
"""Batches that each reading thread prepares in advance."""


type _CheckedBatch = tuple[Batch, list[str]]
"""A batch, and the ids to check: its own, and those of documents with empty vectors."""


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """What was counted while files without a manifest were indexed."""

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

    def __add__(self, other: "ReadCounts") -> "ReadCounts":
        return ReadCounts(
            self.counts + other.counts,
            self.empty + other.empty,
            self.zeros + other.zeros,
            self.ids_with_spaces + other.ids_with_spaces,
            self.tokens_are_numbers and other.tokens_are_numbers,
            self.has_impacts and other.has_impacts,
        )

    def differences(self, index: Counts) -> list[str]:
        """Return a phrase for each count of an index that differs."""
        expected = self.counts if self.has_impacts else self.counts.model_copy(update={"impacts": index.impacts})
        return index.differences(expected)


class BatchReader:
    """Reads the documents of a source once; use it as a context manager.

    Of files with a manifest, which `encode` wrote, only checksums and ids are checked again.
    """

    def __init__(self, source: ImpactSource, *, with_records: bool) -> None:
        self._source = source
        self._with_records = with_records
        self._ids = DuplicateFinder()
        self._tallies: list[_Tally] = []

    def __enter__(self) -> Self:
        self._ids.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ids.__exit__(kind, error, trace)

    def batches(self, threads: int) -> Generator[Batch]:
        """Yield all documents with a vector; with more than one thread, each reads ahead in some of the files."""
        files: SimpleQueue[Path] = SimpleQueue()
        for path in self._source.files.files:
            files.put(path)
        self._tallies = [_Tally(self._source) for _ in range(threads)]
        sources = [self._read(files, tally) for tally in self._tallies]
        if threads > 1:
            sources = [_round_robin([prefetch(source, _BATCHES_AHEAD) for source in sources])]
        with closing(sources[0]) as batches:
            for batch, ids in batches:
                # In this thread: buckets of ids are not shared between threads.
                for id_ in ids:
                    self._ids.add(id_)
                yield batch

    def counts(self, *, may_be_empty: bool = False) -> ReadCounts | None:
        """Check that ids are unique and return what was read, once all is; None with a manifest.

        Raises `RecordError` for a duplicate id and, unless it `may_be_empty`, `InputError` when there were no documents
        or only empty vectors.
        """
        if self._source.is_checked:
            refuse_duplicates(self._ids, self._located_ids, "document id")
            return None
        tallies = self._tallies
        counts = sum((tally.counts for tally in tallies), Counts())
        empty = sum(tally.counter.empty for tally in tallies)
        if not counts.documents and not may_be_empty:
            raise nothing_to_index(self._source) if empty else no_records(self._source.path)
        refuse_duplicates(self._ids, self._located_ids, "document id")
        return ReadCounts(
            counts,
            empty,
            sum(tally.reader.zeros for tally in tallies),
            sum(tally.ids_with_spaces for tally in tallies),
            all(tally.tokens_are_numbers for tally in tallies if tally.counts.documents),
            has_impacts=not any(tally.verbatim_documents for tally in tallies),
        )

    def _located_ids(self) -> Iterator[tuple[Location, str]]:
        reader = VectorReader(self._source.reading)
        for path in self._source.files.files:
            for location, document in self._source.read_file(path, reader):
                yield location, document.id

    def _read(self, files: "SimpleQueue[Path]", tally: "_Tally") -> Generator[_CheckedBatch]:
        """Yield the documents of the files in a queue that several readers share."""
        fields: list[bytes] = []
        ids: list[str] = []
        count = 0
        for path in _taken_from(files):
            self._source.check_file(path)
            is_checked = self._source.is_checked
            entries = _trusted_entries(path, ids) if is_checked else self._entries(path, tally, ids)
            for (id_, text), record in entries:
                fields += (b'"', id_, b'","', text, b'"')
                if self._with_records:
                    fields += (b",", orjson.dumps(record.decode()))
                fields.append(b",")
                count += 1
                if count == BATCH_SIZE:
                    yield (count, _json_array(fields)), ids.copy()
                    count = 0
                    fields.clear()
                    ids.clear()
        if count or ids:
            yield (count, _json_array(fields)), ids

    def _entries(self, path: Path, tally: "_Tally", ids: list[str]) -> Iterator[tuple[Entry, bytes]]:
        """Yield the entries of a file that has no manifest; count its documents and add their ids to `ids`."""
        is_json = self._source.read_file is read_vectors and not is_parquet(path)
        if is_json and self._source.reading.are_defaults and not self._with_records:
            yield from _verbatim_entries(path, tally, ids)
            return
        for _, document in self._source.read_file(path, tally.reader):
            tally.counter.add(document)
            ids.append(document.id)
            if document.vector:
                yield entry(document), record_of(document) if self._with_records else b""


def _trusted_entries(path: Path, ids: list[str]) -> Iterator[tuple[Entry, bytes]]:
    """Yield the entries of a file that `encode` wrote, and add the ids of all its documents to `ids`."""
    for line_entry, line in trusted_entries(path):
        ids.append(id_of_entry(line_entry))
        if line_entry[1]:
            yield line_entry, line


def check_files_and_ids(source: ImpactSource) -> None:
    """Check files with a manifest for a program that reads them itself.

    Raises `IntegrityError` for a changed file, `RecordError` for a duplicate id.
    """
    with BatchReader(source, with_records=False) as reader:
        for _ in reader.batches(1):
            pass
        reader.counts()


def _verbatim_entries(path: Path, tally: "_Tally", ids: list[str]) -> Iterator[tuple[Entry, bytes]]:
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
                yield entry(document), b""


def refuse_repeated_tokens(source: ImpactSource) -> None:
    """Raise `RecordError` for the first vector with one token twice, of those that were not parsed."""
    for path in source.files.files:
        if source.read_file is read_vectors and not is_parquet(path):
            for location, line in json_lines(path):
                if token := repeated_token(line):
                    raise location.error(f"duplicate token {token!r}", expected="each token once")


class _Tally:
    """What one thread reads with, and its counts."""

    def __init__(self, source: ImpactSource) -> None:
        self.reader = VectorReader(source.reading)
        self.counter = DocumentCounter()
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


def _taken_from(files: "SimpleQueue[Path]") -> Iterator[Path]:
    while True:
        try:
            yield files.get_nowait()
        except Empty:
            return


def _json_array(fields: list[bytes]) -> bytes:
    return b"".join((b"[", *fields[:-1], b"]"))


def _round_robin(sources: Sequence[Generator[_CheckedBatch]]) -> Generator[_CheckedBatch]:
    """Yield one batch from each source in turn until all are exhausted."""
    with ExitStack() as stack:
        for source in sources:
            stack.enter_context(closing(source))
        remaining = deque(sources)
        while remaining:
            source = remaining.popleft()
            for batch in source:
                yield batch
                remaining.append(source)
                break
