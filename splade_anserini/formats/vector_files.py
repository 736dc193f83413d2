"""The files of a directory that hold vectors of documents, and those that do not; the documents in a file."""

import logging
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from splade_anserini.artifacts.files import PARTIAL
from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.parsing.archives import as_directory, files_below, is_file
from splade_anserini.formats.parsing.compression import beginning, without_compression_suffix
from splade_anserini.formats.parsing.json_records import json_lines, json_record, json_records
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.vector_parquet import parquet_names, parquet_records
from splade_anserini.formats.vectors import VectorOptions, VectorReader
from splade_anserini.records import ImpactDocument

type LocatedDocument = tuple[Location, ImpactDocument]

JSON_SUFFIXES = (".json", ".jsonl")
_OTHER_JSON_SUFFIXES = (".ndjson",)
_PARQUET_SUFFIXES = (".parquet", ".pq")
_PARQUET_MAGIC = b"PAR1"
_TOPICS = re.compile(r"(^|[-._])(topics?|quer(y|ies))([-._]|$)")
_SAMPLE = 1 << 12
_NAMED = 5
"""How many files a warning names."""
_BULK_ACTIONS = {"index", "create", "update"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VectorFiles:
    """The files of an input: those with vectors of documents, and the others."""

    path: Path
    """The directory, the archive, or the only file."""
    files: tuple[Path, ...]
    unread: tuple[Path, ...] = ()
    """Files that do not hold vectors of documents, such as topics; manifests and hidden files are not among them."""

    @property
    def directory(self) -> Path:
        """The directory of the files."""
        is_file = self.files == (self.path,)
        return self.path.parent if is_file else as_directory(self.path) or self.path

    def warn_of_unread(self) -> None:
        """Warn of the files that are not read, with their number and names."""
        if self.unread:
            names = [str(path.relative_to(self.directory)) for path in self.unread]
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            _log.warning(
                "%s: files that are not read, as they are not vectors of documents: %d (%s%s)",
                self.path,
                len(names),
                ", ".join(names[:_NAMED]),
                more,
            )


def find_vector_files(path: Path, options: VectorOptions | None = None) -> VectorFiles:
    """Return the files in and below a directory or in a zip archive, or the file itself; links are followed.

    Read are .json and .jsonl, compressed or not, and other files by their content. Files and directories that are
    called topics or queries are not, unless they are the input. Raises `InputError` when nothing is there.
    """
    directory = as_directory(path)
    if directory is None and is_file(path):
        return VectorFiles(path, (path,))
    if directory is None:
        raise InputError(
            f"The {'input' if path.exists() else 'directory'} {path} "
            f"{'is neither a file nor a directory' if path.exists() else 'does not exist'}.",
            expected="a file or a directory of vectors, as encode writes them",
        )
    reader = VectorReader(options)
    present = [file for file in files_below(directory) if not file.name.endswith((".manifest", PARTIAL))]
    files = tuple(
        file for file in present if not _is_topics(file.relative_to(directory)) and _has_vectors(file, reader)
    )
    return VectorFiles(path, files, tuple(file for file in present if file not in set(files)))


def read_vectors(path: Path, reader: VectorReader) -> Iterator[LocatedDocument]:
    """Yield the documents of a JSON or Parquet file, with their locations."""
    if is_parquet(path):
        for location, record in parquet_records(path, reader):
            yield location, reader.document(record, location)
        return
    documents = JsonDocuments(reader)
    for location, line in json_lines(path):
        if document := documents.read(line, location):
            yield location, document


class JsonDocuments:
    """Reads the documents of one JSON file, given record by record."""

    def __init__(self, reader: VectorReader) -> None:
        self._reader = reader
        self._bulk_id: object = None

    def read(self, line: bytes, location: Location) -> ImpactDocument | None:
        """Return the document in the text of a record.

        None for an action line of Elasticsearch's bulk format, which gives its id to the next record. Raises
        `RecordError` for a record that is not a document with a vector.
        """
        record = json_record(line, location)
        if len(record) == 1 and (action := next(iter(record))) in _BULK_ACTIONS and isinstance(record[action], dict):
            self._bulk_id = record[action].get("_id")
            return None
        if self._bulk_id is not None:
            record, self._bulk_id = {"_id": self._bulk_id, **record}, None
        return self._reader.document(record, location)


def _is_topics(path: Path) -> bool:
    return any(_TOPICS.search(part.casefold()) for part in path.parts)


def is_parquet(path: Path) -> bool:
    """Say whether a file is Parquet, by its name or its first bytes."""
    if path.name.endswith(_PARQUET_SUFFIXES):
        return True
    if not path.is_file() or without_compression_suffix(path.name).endswith((*JSON_SUFFIXES, ".gz")):
        return False
    with path.open("rb") as file:
        return file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC


def _has_vectors(path: Path, reader: VectorReader) -> bool:
    """Say whether a file is read: what Anserini reads always is, unless its text is not JSON; others by content."""
    if path.name.endswith(_PARQUET_SUFFIXES):
        return reader.has_vector(dict.fromkeys(parquet_names(path)))
    if path.name.removesuffix(".gz").endswith(JSON_SUFFIXES):
        return True
    name = without_compression_suffix(path.name)
    if name.endswith((*JSON_SUFFIXES, *_OTHER_JSON_SUFFIXES)):
        try:
            return all(reader.has_vector(record) for _, record in islice(json_records(path), 1))
        except RecordError:
            return True
    return path.name.endswith(".gz") and _begins_as_json(path)


def _begins_as_json(path: Path) -> bool:
    """Say whether the first character of a file opens an object or an array; of a damaged file it is assumed."""
    start = beginning(path, _SAMPLE)
    return not start or start.removeprefix(BOM_UTF8).lstrip()[:1] in (b"{", b"[")
