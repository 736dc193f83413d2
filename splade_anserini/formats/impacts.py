"""Impact pseudo-documents, the JSON that Anserini indexes: `{"id": "d0", "contents": "…", "vector": {"cat": 215}}`.

Anserini silently drops what it cannot use (a record without a vector takes the rest of its file with it), so every
record is checked here.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import orjson

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.compression import COMPRESSION_LEVEL, compressed, open_output
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.fields import document_id
from splade_anserini.formats.parsing.json_records import json_record
from splade_anserini.formats.parsing.lines import Location, byte_lines
from splade_anserini.formats.tokens import VectorCheck, strongest_first
from splade_anserini.formats.vector_files import LocatedDocument, VectorFiles, find_vector_files, read_vectors
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactDocument, StrPath

SUFFIXES = (".json", ".jsonl", ".gz")


def impact_files(directory: StrPath) -> list[Path]:
    """Return the files below `directory` that Anserini would read, sorted by name; links are followed."""
    files = (Path(root) / name for root, _, names in os.walk(directory, followlinks=True) for name in names)
    return sorted(path for path in files if path.name.endswith(SUFFIXES))


def read_impacts(path: StrPath) -> Iterator[ImpactDocument]:
    """Yield each document of a file, without impacts of 0.

    Raises `RecordError` for one that Anserini would drop or change.
    """
    return (document for _, document in read_vectors(Path(path), VectorReader()))


def read_impact(line: bytes, location: Location, reader: VectorReader) -> ImpactDocument:
    """Return the document in one line of JSON. Raises `RecordError` when Anserini would drop or change it."""
    return reader.document(json_record(line, location), location)


def read_trusted(path: Path) -> Iterator[LocatedDocument]:
    """Yield the documents of a file as `ImpactWriter` wrote it, whose records are not checked again."""
    for location, line in byte_lines(path):
        record = json_record(line, location, unique_keys=False)
        yield location, ImpactDocument(record["id"], record["vector"], record.get("contents", ""))


class DocumentCounter:
    """Counts documents, postings and impacts as an index holds them, and documents with an empty vector."""

    def __init__(self) -> None:
        self._documents = self._postings = self._impacts = self.empty = self.ids_with_spaces = 0

    def add(self, document: ImpactDocument) -> None:
        """Count one document."""
        vector = document.vector
        self.ids_with_spaces += " " in document.id
        if vector:
            self._documents += 1
            self._postings += len(vector)
            self._impacts += sum(vector.values())
        else:
            self.empty += 1

    @property
    def counts(self) -> Counts:
        """The counts of an index of these documents."""
        return Counts(documents=self._documents, postings=self._postings, impacts=self._impacts)


def count_impacts(path: StrPath, progress: Progress = silent) -> tuple[Counts, int]:
    """Check every record of a file or below a directory; return the counts of its index, and of empty vectors.

    Memory use is constant. Raises `RecordError` for a malformed record or a duplicate id, `InputError` when there are
    no files or no records.
    """
    files, counter = find_vector_files(Path(path)), DocumentCounter()
    require_files(files)
    with DuplicateFinder() as ids:
        for _, document in _read_files(files):
            ids.add(document.id)
            counter.add(document)
            progress(1)
        if not counter.counts.documents + counter.empty:
            raise no_records(Path(path))
        refuse_duplicates(ids, lambda: ((at, document.id) for at, document in _read_files(files)), "document id")
    return counter.counts, counter.empty


def require_files(files: VectorFiles) -> None:
    """Raise `InputError` when a directory has no files with vectors."""
    if not files.files:
        raise InputError(
            f"{files.path} contains no impact pseudo-documents.",
            expected="a directory of .json, .jsonl or .gz files, as encode writes them, or of Parquet files",
        )


def no_records(path: Path) -> InputError:
    """Return the error for files without records."""
    return InputError(
        f"The files in {path} are empty." if path.is_dir() else f"{path} is empty.", expected="at least one record"
    )


def impact_line(document: ImpactDocument) -> bytes:
    """Return the document as one line of JSON, by descending impact, equal impacts by token."""
    record = {"id": document.id, "contents": document.contents, "vector": dict(strongest_first(document.vector))}
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


class ImpactWriter:
    """A context manager that writes one file of impact pseudo-documents, gzipped if its name ends in .gz.

    The same documents give the same bytes. The file appears when the block ends without an error. Raises
    `RecordError` for a document that would not be read back as it is, `OutputError` when the file cannot be written.
    With `into`, the bytes of the file go there, and nothing is written at `path`.
    """

    def __init__(self, path: StrPath, level: int = COMPRESSION_LEVEL, *, into: IO[bytes] | None = None) -> None:
        self._path = Path(path)
        self._into = into
        self._level = level
        self._stack = ExitStack()
        self._check = VectorCheck()
        self._lines = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        opened = (
            open_output(self._path, self._level, self._digest)
            if self._into is None
            else compressed(self._into, self._path.name, self._level, self._digest)
        )
        self._file = self._stack.enter_context(opened)
        return self

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, once it is there."""
        return self._digest.hexdigest()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, document: ImpactDocument) -> None:
        """Write one document."""
        self._lines += 1
        location = Location(self._path, self._lines)
        vector = self._check(dict(document.vector), location)
        self._file.write(impact_line(ImpactDocument(document_id(document.id, location), vector, document.contents)))


def _read_files(files: VectorFiles) -> Iterator[LocatedDocument]:
    reader = VectorReader()
    for path in files.files:
        yield from read_vectors(path, reader)
