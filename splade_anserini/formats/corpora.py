"""Corpora: documents that are streamed from files, from ir_datasets or from memory."""

import hashlib
import logging
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from splade_anserini.errors import InputError, counted
from splade_anserini.formats.beir import BeirDirectory
from splade_anserini.formats.irds import irds_document, irds_items, is_irds, require_irds
from splade_anserini.formats.parsing.archives import as_directory, glob_files, is_file
from splade_anserini.formats.parsing.compression import without_compression_suffix
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.fields import checked_id, optional_text, record_id, record_text
from splade_anserini.formats.parsing.json_records import json_records
from splade_anserini.formats.parsing.lines import Location, text_lines
from splade_anserini.progress import Progress, silent
from splade_anserini.records import Document, StrPath

_SUFFIXES = (".jsonl", ".json", ".tsv")
_TEXT_KEYS = ("text", "contents")
_EXPECTED = "a BEIR directory, a .jsonl, .json or .tsv file (each also .gz), a directory of such files, or irds:<name>"

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

    def __iter__(self) -> Iterator[Document]:
        return map(irds_document, irds_items(self.name, "docs"))


@dataclass(frozen=True)
class FileCorpus:
    """The documents of one or more files, in their order."""

    name: str
    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[Document]:
        return (document for _, document in self.with_locations())

    def with_locations(self) -> Iterator[tuple[Location, Document]]:
        """Yield each document with its location. Raises `RecordError` for a malformed record."""
        for path in self.files:
            yield from _read_tsv(path) if without_compression_suffix(path.name).endswith(".tsv") else _read_json(path)


def open_corpus(source: StrPath) -> Corpus:
    """Return the corpus that `source` names, without reading documents. Raises `InputError` when there is none."""
    name = os.fspath(source)
    if is_irds(name):
        require_irds(name, "docs")
        return IrdsCorpus(name)
    path = Path(source)
    if directory := as_directory(path):
        return FileCorpus(name, _corpus_files(directory))
    if not path.exists() and not is_file(path):
        raise InputError(f"The corpus {name} does not exist.", expected=_EXPECTED, do="Check the spelling.")
    if not _is_corpus_file(path):
        raise InputError(f"The corpus {name} has an unknown format.", expected=_EXPECTED, do="Rename or convert it.")
    return FileCorpus(name, (path,))


def check_corpus(corpus: Corpus, progress: Progress = silent) -> int:
    """Read the whole corpus and return the number of its documents, in constant memory.

    Raises `RecordError` for the first malformed record or duplicate id, `InputError` when there are no documents.
    """
    count = 0
    with DuplicateFinder() as ids:
        for location, document in _with_locations(corpus):
            ids.add(checked_id(document.id, location))
            count += 1
            progress(1)
        if not count:
            raise InputError(f"The corpus {corpus.name} is empty.", expected="at least one document")
        refuse_duplicates(ids, lambda: ((at, document.id) for at, document in _with_locations(corpus)), "document id")
    return count


class CorpusDigest:
    """A running SHA-256 hash of documents, which depends on their fields and their order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, document: Document) -> None:
        """Add a document: each field preceded by its length."""
        for field in (document.id, document.title, document.text):
            data = field.encode()
            self._digest.update(len(data).to_bytes(8, "little"))
            self._digest.update(data)

    def hexdigest(self) -> str:
        """Return the digest of the documents added so far."""
        return self._digest.hexdigest()


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


def _with_locations(corpus: Corpus) -> Iterator[tuple[Location, Document]]:
    if isinstance(corpus, FileCorpus):
        return corpus.with_locations()
    return ((Location(corpus.name, index, "document"), document) for index, document in enumerate(corpus, 1))


def _corpus_files(directory: Path) -> tuple[Path, ...]:
    """Return the corpus.jsonl of a BEIR directory, or all files of a known format, sorted by name."""
    if path := BeirDirectory(directory).corpus_file:
        return (path,)
    files = glob_files(directory, "[!.]*")
    corpus_files = tuple(path for path in files if _is_corpus_file(path))
    if not corpus_files:
        raise InputError(f"The directory {directory} contains no corpus.", expected=_EXPECTED)
    if skipped := [path.name for path in files if path not in corpus_files]:
        _logger.info("%s: skipped files of unknown formats: %s", directory, ", ".join(skipped))
    return corpus_files


def _is_corpus_file(path: Path) -> bool:
    return not path.name.startswith(".") and without_compression_suffix(path.name).endswith(_SUFFIXES)


def _read_json(path: Path) -> Iterator[tuple[Location, Document]]:
    for location, record in json_records(path):
        id_, title = record_id(record, location), optional_text(record, location, "title")
        yield location, Document(id_, title, record_text(record, location, _TEXT_KEYS))


def _read_tsv(path: Path) -> Iterator[tuple[Location, Document]]:
    for location, line in text_lines(path):
        match line.split("\t"):
            case [id_, text]:
                yield location, Document(checked_id(id_, location), "", text)
            case [id_, title, text]:
                yield location, Document(checked_id(id_, location), title, text)
            case columns:
                raise location.error(
                    counted(len(columns), "column"),
                    expected="id<TAB>text or id<TAB>title<TAB>text",
                    do="Separate the columns by one tab each, and replace tabs inside the text.",
                )
