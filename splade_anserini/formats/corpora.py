"""Corpora: documents that stream, from files, from ir_datasets or from memory."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from splade_anserini.errors import InputError
from splade_anserini.formats._corpus_files import FileCorpus, is_corpus_file
from splade_anserini.formats.irds import PREFIX, irds_document, irds_items
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.progress import Progress, silent
from splade_anserini.records import Document

_log = logging.getLogger(__name__)
_ACCEPTED = "a BEIR directory, a .jsonl, .json or .tsv file (each also .gz), a directory of such files, or irds:<name>"


class Corpus(Protocol):
    """Documents that can be iterated over any number of times, and are never held all at once."""

    @property
    def name(self) -> str:
        """As it was named."""
        ...

    def __iter__(self) -> Iterator[Document]: ...


@dataclass(frozen=True)
class InMemoryCorpus:
    """Documents at hand."""

    name: str
    documents: Iterable[Document]
    """Iterable more than once: a list, not a generator."""

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)


@dataclass(frozen=True)
class IrdsCorpus:
    """The documents of a dataset of ir_datasets."""

    name: str

    def __iter__(self) -> Iterator[Document]:
        return map(irds_document, irds_items(self.name, "docs"))


class CorpusDigest:
    """A running SHA-256 over documents: the same only for the same documents in the same order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, document: Document) -> None:
        """Add a document; each field goes in after its length."""
        for field in (document.id, document.title, document.text):
            data = field.encode()
            self._digest.update(len(data).to_bytes(8, "little"))
            self._digest.update(data)

    def hexdigest(self) -> str:
        """Return the digest of what was added so far."""
        return self._digest.hexdigest()


def open_corpus(source: str) -> Corpus:
    """Find the corpus that `source` names. Raises `InputError` when there is none. No document is read yet."""
    if source.startswith(PREFIX):
        irds_items(source, "docs")
        return IrdsCorpus(source)
    path = Path(source)
    if path.is_dir():
        return FileCorpus(source, _files_of(path))
    if not path.exists():
        raise InputError(f"The corpus {source} does not exist.", expected=_ACCEPTED, do="Check the spelling.")
    if not is_corpus_file(path):
        raise InputError(f"The corpus {source} is of no known format.", expected=_ACCEPTED, do="Rename or convert it.")
    return FileCorpus(source, (path,))


def check_corpus(corpus: Corpus, progress: Progress = silent) -> int:
    """Read the whole corpus and return the number of its documents; memory does not grow with it.

    Raises `RecordError` at the first bad record or duplicate id, `InputError` when there are no documents.
    """
    count = 0
    with DuplicateFinder() as ids:
        for place, document in _placed(corpus):
            ids.add(checked_id(document.id, place))
            count += 1
            progress(1)
        if not count:
            raise InputError(f"The corpus {corpus.name} is empty.", expected="at least one document")
        refuse_duplicates(ids, lambda: ((place, document.id) for place, document in _placed(corpus)), "document id")
    return count


def _placed(corpus: Corpus) -> Iterator[tuple[Place, Document]]:
    if isinstance(corpus, FileCorpus):
        return corpus.placed()
    return ((Place(corpus.name, number), document) for number, document in enumerate(corpus, 1))


def _files_of(directory: Path) -> tuple[Path, ...]:
    """Return the corpus.jsonl of a BEIR directory, or all files that can be read, by name."""
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        if (directory / name).is_file():
            return (directory / name,)
    files = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
    readable = tuple(path for path in files if is_corpus_file(path))
    if not readable:
        raise InputError(f"The directory {directory} holds no corpus.", expected=_ACCEPTED)
    if others := [path.name for path in files if path not in readable]:
        _log.info("%s: not read, being of no known format: %s", directory, ", ".join(others))
    return readable
