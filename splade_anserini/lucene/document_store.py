"""Fields of documents on disk, found by the documents' ids, in memory that does not grow with their number.

They are written once, in the order of a collection, and read by several threads and processes in any order; in the same
order, reading is sequential.
"""

import mmap
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import NamedTuple, Self

import numpy as np
import orjson

from splade_anserini.artifacts.files import output_errors, whole_file
from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.duplicates import DuplicateFinder, digest_of, refuse_duplicates
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.progress import Progress, silent

_DATA, _HASHES, _OFFSETS, _USED = "data", "hashes", "offsets", "used-"
_BUCKETS = 64
_BUFFER_SIZE = 1 << 16
_ENTRY = np.dtype([("hash", ">u8"), ("offset", "<u8")])
_LENGTHS = Struct("<II")
"""Of the id and of the fields, in bytes."""
_MOST_NAMED = 5

type LocatedFields = tuple[Location, str, bytes]
"""Where a document is, its id, and its fields."""


@dataclass(frozen=True, slots=True)
class DocumentStore:
    """The fields of a collection's documents, in a directory."""

    directory: Path
    name: str
    """What the collection is called."""
    documents: int

    def open(self) -> "DocumentLookup":
        """Return what finds fields, for one thread."""
        return DocumentLookup(self)

    def record_use(self, key: str, lookups: "Sequence[DocumentLookup]") -> None:
        """Record what was looked up by who is called `key`; what it recorded before is replaced."""
        used = np.bitwise_or.reduce([lookup.used for lookup in lookups])
        missing = [id_ for lookup in lookups for id_ in lookup.first_missing][:_MOST_NAMED]
        counts = [sum(lookup.asked for lookup in lookups), sum(lookup.missing for lookup in lookups)]
        path = self.directory / f"{_USED}{fingerprint_of_bytes(key.encode())}"
        with whole_file(path) as file:
            file.write(orjson.dumps([*counts, missing]) + b"\n" + used.tobytes())

    def use(self) -> "DocumentUse":
        """Return what was looked up in all, as `record_use` recorded it."""
        bits, asked, missing, first_missing = np.zeros((self.documents + 7) // 8, np.uint8), 0, 0, list[str]()
        for path in sorted(self.directory.glob(f"{_USED}*")):
            head, _, tail = path.read_bytes().partition(b"\n")
            part_asked, part_missing, names = orjson.loads(head)
            asked, missing, first_missing = asked + part_asked, missing + part_missing, [*first_missing, *names]
            bits |= np.frombuffer(tail, np.uint8)
        used = np.unpackbits(bits, count=self.documents, bitorder="little").astype(bool)
        offsets = np.sort(np.fromfile(self.directory / _OFFSETS, np.uint64)[~used])
        with self.open() as lookup:
            unused = tuple(lookup.at(offset)[0] for offset in offsets[:_MOST_NAMED].tolist())
        return DocumentUse(asked, missing, tuple(first_missing[:_MOST_NAMED]), len(offsets), unused)


class DocumentUse(NamedTuple):
    """How the documents of a collection fit those that were looked up in it."""

    asked: int
    """Documents that were looked up."""
    missing: int
    """Those of them that the collection lacks."""
    first_missing: tuple[str, ...]
    unused: int
    """Documents of the collection that were not looked up."""
    first_unused: tuple[str, ...]


def write_document_store(
    directory: Path, name: str, documents: Callable[[], Iterable[LocatedFields]], progress: Progress = silent
) -> DocumentStore:
    """Write the fields of all documents into a new directory.

    Raises `RecordError` for a duplicate id, `InputError` when there are no documents.
    """
    directory.mkdir()
    buffers = [bytearray() for _ in range(_BUCKETS)]
    count = offset = 0
    with DuplicateFinder() as ids, output_errors(directory / _DATA), (directory / _DATA).open("wb") as data:
        for _, id_, fields in documents():
            ids.add(id_)
            key, digest = id_.encode(), digest_of(id_)
            data.write(_LENGTHS.pack(len(key), len(fields)) + key + fields)
            buffer = buffers[bucket := digest[0] * _BUCKETS // 256]
            buffer += digest[:8] + offset.to_bytes(8, "little")
            if len(buffer) >= _BUFFER_SIZE:
                _append(directory / str(bucket), buffer)
            offset += _LENGTHS.size + len(key) + len(fields)
            count += 1
            progress(1)
        if not count:
            raise InputError(f"{name} is empty.", expected="at least one document")
        refuse_duplicates(ids, lambda: ((location, id_) for location, id_, _ in documents()), "document id")
    for bucket, buffer in enumerate(buffers):
        _append(directory / str(bucket), buffer)
    _sort(directory)
    return DocumentStore(directory, name, count)


class DocumentLookup:
    """Finds fields by ids, and remembers which documents were looked up; for one thread, as a context manager."""

    def __init__(self, store: DocumentStore) -> None:
        self.store = store
        self._stack = ExitStack()
        self._hashes = np.memmap(store.directory / _HASHES, np.uint64, "r")
        self._offsets = np.memmap(store.directory / _OFFSETS, np.uint64, "r")
        file = self._stack.enter_context((store.directory / _DATA).open("rb"))
        self._data = self._stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self.used = np.zeros((store.documents + 7) // 8, np.uint8)
        """A bit for each document, in the order of the hashes: whether it was looked up."""
        self.asked = self.missing = 0
        self.first_missing: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def fields(self, ids: Sequence[str]) -> list[bytes | None]:
        """Return the fields of documents; None for those that the collection lacks."""
        hashes = np.frombuffer(b"".join([digest_of(id_)[:8] for id_ in ids]), ">u8").astype(np.uint64)
        starts = np.searchsorted(self._hashes, hashes).tolist()
        fields = [self._at(id_, hash_, start) for id_, hash_, start in zip(ids, hashes.tolist(), starts, strict=True)]
        self.asked += len(ids)
        if missing := [id_ for id_, each in zip(ids, fields, strict=True) if each is None]:
            self.missing += len(missing)
            self.first_missing = [*self.first_missing, *missing][:_MOST_NAMED]
        return fields

    def at(self, offset: int) -> tuple[str, bytes]:
        """Return the id and the fields that are at a position in the file."""
        start = offset + _LENGTHS.size
        id_length, length = _LENGTHS.unpack(self._data[offset:start])
        end = start + id_length
        return self._data[start:end].decode(), self._data[end : end + length]

    def _at(self, id_: str, hash_: int, position: int) -> bytes | None:
        # Two ids may have the same hash.
        while position < self.store.documents and int(self._hashes[position]) == hash_:
            found, fields = self.at(int(self._offsets[position]))
            if found == id_:
                self.used[position >> 3] |= 1 << (position & 7)
                return fields
            position += 1
        return None


def _append(path: Path, buffer: bytearray) -> None:
    with output_errors(path), path.open("ab") as file:
        file.write(buffer)
    buffer.clear()


def _sort(directory: Path) -> None:
    """Sort the entries of all buckets, whose order is that of the hashes, into two columns."""
    with (
        output_errors(directory),
        (directory / _HASHES).open("wb") as hashes,
        (directory / _OFFSETS).open("wb") as offsets,
    ):
        for bucket in range(_BUCKETS):
            path = directory / str(bucket)
            entries = np.fromfile(path, _ENTRY)
            entries = entries[np.argsort(entries["hash"], kind="stable")]
            hashes.write(entries["hash"].astype(np.uint64).tobytes())
            offsets.write(entries["offset"].astype(np.uint64).tobytes())
            path.unlink()
