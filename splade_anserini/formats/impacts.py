"""Impact pseudo-documents, the JSON that Anserini indexes: `{"id": "d0", "contents": "…", "vector": {"cat": 215}}`.

Anserini silently drops what it cannot use (a record without a vector takes the rest of its file with it), so every
record is checked here.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from splade_anserini.artifacts.manifests import Counts
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.compression import COMPRESSION_LEVEL, open_output
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, refuse_duplicates
from splade_anserini.formats.parsing.fields import checked_id, optional_text, record_id
from splade_anserini.formats.parsing.json_records import Record, json_record, json_records
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.tokens import VectorCheck, strongest_first
from splade_anserini.progress import Progress, silent
from splade_anserini.records import ImpactDocument, StrPath

SUFFIXES = (".json", ".jsonl", ".gz")


def impact_files(directory: StrPath) -> list[Path]:
    """Return the files below `directory` that Anserini would read, sorted by name; links are followed."""
    files = (Path(root) / name for root, _, names in os.walk(directory, followlinks=True) for name in names)
    return sorted(path for path in files if path.name.endswith(SUFFIXES))


def read_impacts(path: StrPath) -> Iterator[ImpactDocument]:
    """Yield each document of a file. Raises `RecordError` for one that Anserini would drop or change."""
    return (document for _, document in _read_file(Path(path), VectorCheck()))


def read_impact(line: bytes, location: Location, check: VectorCheck) -> ImpactDocument:
    """Return the document in one line of JSON. Raises `RecordError` when Anserini would drop or change it."""
    return _document(json_record(line, location), location, check)


def count_impacts(directory: StrPath, progress: Progress = silent) -> tuple[Counts, int]:
    """Check every record below `directory`; return the counts of its index, and the number of empty vectors.

    Memory use is constant. Raises `RecordError` for a malformed record or a duplicate id, `InputError` when there are
    no files or no records.
    """
    files = _require_files(Path(directory))
    documents = postings = impacts = empty = 0
    with DuplicateFinder() as ids:
        for _, document in _read_files(files):
            ids.add(document.id)
            documents += bool(document.vector)
            empty += not document.vector
            postings += len(document.vector)
            impacts += sum(document.vector.values())
            progress(1)
        if not documents + empty:
            raise InputError(f"The files in {directory} are empty.", expected="at least one record")
        refuse_duplicates(ids, lambda: ((at, document.id) for at, document in _read_files(files)), "document id")
    return Counts(documents=documents, postings=postings, impacts=impacts), empty


def impact_line(document: ImpactDocument) -> bytes:
    """Return the document as one line of JSON, by descending impact, equal impacts by token."""
    record = {"id": document.id, "contents": document.contents, "vector": dict(strongest_first(document.vector))}
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


class ImpactWriter:
    """A context manager that writes one file of impact pseudo-documents, gzipped if its name ends in .gz.

    The same documents give the same bytes. The file appears when the block ends without an error. Raises
    `RecordError` for a document that would not be read back as it is, `OutputError` when the file cannot be written.
    """

    def __init__(self, path: StrPath, level: int = COMPRESSION_LEVEL) -> None:
        self._path = Path(path)
        self._level = level
        self._stack = ExitStack()
        self._check = VectorCheck()
        self._lines = 0

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(open_output(self._path, self._level))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, document: ImpactDocument) -> None:
        """Write one document."""
        self._lines += 1
        location = Location(self._path, self._lines)
        vector = self._check(dict(document.vector), location)
        self._file.write(impact_line(ImpactDocument(checked_id(document.id, location), vector, document.contents)))


def _require_files(directory: Path) -> list[Path]:
    if files := impact_files(directory):
        return files
    raise InputError(
        f"{directory} contains no impact pseudo-documents."
        if directory.is_dir()
        else f"The directory {directory} does not exist.",
        expected="a directory of .json, .jsonl or .gz files, as encode writes them",
    )


def _read_files(files: list[Path]) -> Iterator[tuple[Location, ImpactDocument]]:
    check = VectorCheck()
    for path in files:
        yield from _read_file(path, check)


def _read_file(path: Path, check: VectorCheck) -> Iterator[tuple[Location, ImpactDocument]]:
    for location, record in json_records(path):
        yield location, _document(record, location, check)


def _document(record: Record, location: Location, check: VectorCheck) -> ImpactDocument:
    id_ = record_id(record, location, ("id",))
    if "vector" not in record:
        raise location.error(
            "no vector",
            expected='a record {"id": …, "vector": {"token": impact, …}}',
            do="Encode the texts first: Anserini would skip the rest of the file.",
        )
    return ImpactDocument(id_, check(record["vector"], location), optional_text(record, location, "contents"))
