"""Corpora: documents that are streamed from files, from ir_datasets, from Hugging Face or from memory."""

import hashlib
import logging
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from splade_anserini.errors import NOTE, InputError, counted
from splade_anserini.formats.beir import source_path
from splade_anserini.formats.corpus_fields import RECOGNIZED, CorpusOptions, describe, document_of_row, whole_records
from splade_anserini.formats.corpus_files import EXPECTED, directory_files, read_file, reader_of
from splade_anserini.formats.hf_datasets import hub_rows, is_hub_name
from splade_anserini.formats.irds import irds_document, irds_items, is_irds, require_irds, whole_irds_document
from splade_anserini.formats.parsing.archives import as_directory, is_file
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.fields import document_id
from splade_anserini.formats.parsing.json_records import Record
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.passages import Windows, passages_of
from splade_anserini.progress import Progress, silent
from splade_anserini.records import Document, StrPath

_logger = logging.getLogger(__name__)


class Corpus(Protocol):
    """Documents that can be iterated over any number of times without loading them all."""

    @property
    def name(self) -> str:
        """The path or name that the corpus was opened with."""
        ...

    def __iter__(self) -> Iterator[Document]: ...


@dataclass(frozen=True)
class InMemoryCorpus:
    """A corpus of documents in memory."""

    name: str
    documents: Iterable[Document]
    """Iterable more than once: a list, not a generator."""

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)


@dataclass(frozen=True)
class IrdsCorpus:
    """The documents of `irds:<name>`."""

    name: str
    keeps_fields: bool = False

    def __iter__(self) -> Iterator[Document]:
        read = whole_irds_document if self.keeps_fields else irds_document
        return map(read, irds_items(self.name, "docs"))


@dataclass
class _Notes:
    """What is said of how a corpus is read, once, although it is read several times."""

    name: str
    options: CorpusOptions
    repairs: int = 0
    first_repair: Location | None = None
    said: set[str] = field(default_factory=set)

    def on_first(self, location: Location, record: Record) -> None:
        """Say how records are read, where that is not plain and another file has not had the same."""
        how = describe(record, self.options)
        if how and how not in self.said:
            self.said.add(how)
            _logger.log(NOTE, "%s: %s", location.path, how)

    def on_repair(self, location: Location) -> None:
        """Count a record that was changed to be valid Unicode."""
        self.repairs += 1
        self.first_repair = self.first_repair or location

    def on_end(self) -> None:
        """Warn of records that were changed."""
        if self.repairs and "repairs" not in self.said:
            self.said.add("repairs")
            records = counted(self.repairs, "record")
            _logger.warning(
                "%s: %s with half of a surrogate pair, replaced by U+FFFD, first: %s",
                self.name,
                records,
                self.first_repair,
            )


@dataclass(frozen=True)
class FileCorpus:
    """The documents of one or more files, in their order."""

    name: str
    files: tuple[Path, ...]
    options: CorpusOptions = RECOGNIZED
    _notes: _Notes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # The class is frozen.
        object.__setattr__(self, "_notes", _Notes(self.name, self.options))

    def __iter__(self) -> Iterator[Document]:
        return (document for _, document in self.with_locations())

    def with_locations(self) -> Iterator[tuple[Location, Document]]:
        """Yield each document with its location. Raises `RecordError` for a malformed record."""
        for path in self.files:
            yield from read_file(path, self.options, self._notes)
        self._notes.on_end()


@dataclass(frozen=True)
class HubCorpus:
    """The documents of a dataset of Hugging Face, `hf:<name>`."""

    name: str
    options: CorpusOptions = RECOGNIZED

    def __iter__(self) -> Iterator[Document]:
        for index, row in enumerate(hub_rows(self.name), 1):
            yield document_of_row(row, Location(self.name, index, "row"), self.options)


@dataclass(frozen=True)
class PassageCorpus:
    """The passages of the documents of a corpus."""

    corpus: Corpus
    windows: Windows

    @property
    def name(self) -> str:
        """The name of the corpus."""
        return self.corpus.name

    def __iter__(self) -> Iterator[Document]:
        return (passage for _, passage in self.with_locations())

    def with_locations(self) -> Iterator[tuple[Location, Document]]:
        """Yield each passage with the location of its document."""
        for location, document in with_locations(self.corpus):
            for passage in passages_of(document, self.windows):
                yield location, passage


def open_corpus(source: StrPath, options: CorpusOptions = RECOGNIZED) -> Corpus:
    """Return the corpus that `source` names, without reading documents. Raises `InputError` when there is none.

    A warning names the files of a directory that are not read.
    """
    name = os.fspath(source)
    if is_irds(name):
        require_irds(name, "docs")
        if options.named:
            raise InputError(f"{name} has fields of its own.", do="Leave --id-field and the like out.")
        return IrdsCorpus(name, options.keeps_fields)
    if is_hub_name(name):
        return HubCorpus(name, options)
    path, split = source_path(source), ""
    if not is_file(path) and as_directory(path) is None and "@" in name:
        before, _, split = name.rpartition("@")
        path = source_path(before)
    if directory := as_directory(path):
        return FileCorpus(name, directory_files(directory, split), options)
    if split or not (path.exists() or is_file(path)):
        raise InputError(f"The corpus {name} does not exist.", expected=EXPECTED, do=_missing_path(name))
    reader_of(path)
    return FileCorpus(name, (path,), options)


def with_all_fields(corpus: Corpus) -> Corpus:
    """Return a corpus whose documents have all fields of their records; one in memory has what it has."""
    if isinstance(corpus, PassageCorpus):
        return PassageCorpus(with_all_fields(corpus.corpus), corpus.windows)
    if isinstance(corpus, IrdsCorpus):
        return IrdsCorpus(corpus.name, keeps_fields=True)
    if isinstance(corpus, FileCorpus):
        return FileCorpus(corpus.name, corpus.files, whole_records(corpus.options))
    if isinstance(corpus, HubCorpus):
        return HubCorpus(corpus.name, whole_records(corpus.options))
    return corpus


def corpus_settings(corpus: Corpus) -> dict[str, str | list[str]] | None:
    """Return the fields that were named to read a corpus, for a manifest; None where none were."""
    options: object = getattr(corpus, "options", None)
    return options.settings if isinstance(options, CorpusOptions) else None


def _missing_path(name: str) -> str:
    looks_like_a_dataset = name.count("/") == 1 and not name.startswith((".", "/")) and "." not in name
    return (
        f"Check the spelling, or name a dataset of Hugging Face: hf:{name}"
        if looks_like_a_dataset
        else ("Check the spelling.")
    )


def with_locations(corpus: Corpus) -> Iterator[tuple[Location, Document]]:
    """Yield each document with its location. Raises `RecordError` for a malformed record."""
    if isinstance(corpus, FileCorpus | PassageCorpus):
        return corpus.with_locations()
    return ((Location(corpus.name, index, "document"), document) for index, document in enumerate(corpus, 1))


def check_corpus(corpus: Corpus, progress: Progress = silent) -> int:
    """Read the whole corpus and return the number of its documents, in constant memory.

    Raises `RecordError` for the first malformed record or duplicate id, `InputError` when there are no documents.
    """
    count = 0
    with DuplicateFinder() as ids:
        for location, document in with_locations(corpus):
            ids.add(document_id(document.id, location))
            count += 1
            progress(1)
        if not count:
            raise InputError(f"The corpus {corpus.name} is empty.", expected="at least one document")
        refuse_duplicates(ids, lambda: ((at, document.id) for at, document in with_locations(corpus)), "document id")
    return count


class CorpusDigest:
    """A running SHA-256 hash of documents, which depends on their fields and their order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, document: Document) -> None:
        """Add a document: each field preceded by its length."""
        for value in (document.id, document.title, document.text):
            data = value.encode()
            self._digest.update(len(data).to_bytes(8, "little"))
            self._digest.update(data)

    def hexdigest(self) -> str:
        """Return the digest of the documents added so far."""
        return self._digest.hexdigest()


def digest_of(documents: Iterable[Document]) -> str:
    """Return the digest of documents, see `CorpusDigest`."""
    digest = CorpusDigest()
    for document in documents:
        digest.update(document)
    return digest.hexdigest()


def sample_documents(documents: Iterable[Document], size: int, *, seed: int = 0) -> list[Document]:
    """Draw `size` documents, or all if there are fewer, with equal probability (reservoir sampling).

    The documents are read once. The same documents in the same order give the same sample.
    """
    generator = random.Random(seed)  # noqa: S311  # not used for secrets
    reservoir: list[Document] = []
    for position, document in enumerate(documents):
        if position < size:
            reservoir.append(document)
        elif (slot := generator.randrange(position + 1)) < size:
            reservoir[slot] = document
    return reservoir
