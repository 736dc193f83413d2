"""CIFF, the inverted index format that Lucene (through Anserini), PISA, BMP and other engines exchange.

Term frequencies are impacts, and the length of a document is the sum of its impacts: 0 when its vector is empty.
Postings lists are in the order of their tokens' code points. The header's description ends with the encoding settings.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, ClassVar

import numpy as np
import numpy.typing as npt

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.buckets import Buckets, even_bounds
from splade_anserini.conversion.format import FileFormat, settings_from_json
from splade_anserini.conversion.messages import (
    DocRecord,
    Header,
    PostingsList,
    doc_record_from,
    header_from,
    postings_list_from,
    read_message,
    write_message,
)
from splade_anserini.conversion.spool import GREATEST_INT32, Spool
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.compression import DAMAGED_DATA, is_plain, open_input
from splade_anserini.formats.parsing.fields import document_id
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.vector_files import LocatedDocument
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.records import ImpactDocument, StrPath

SMALLEST_POSTING = 6
"""Minimum bytes per posting, so the size of a file limits the number of its postings."""

_LARGEST_HEADER = 1 << 20

_DESCRIPTION = "Impact vectors"
_DESCRIPTION_WITH_SETTINGS = f"{_DESCRIPTION} of splade-anserini, encoded with: "


class Ciff(FileFormat):
    """CIFF, version 1, which does not define topics."""

    name = "ciff"
    suffixes: ClassVar[tuple[str, ...]] = (".ciff",)

    def located(self, path: Path, reader: VectorReader) -> Iterator[LocatedDocument]:
        """Yield the documents. Needs memory for the vocabulary and 200 MB, 12 bytes of disk per posting.

        A compressed file is decompressed to a temporary one first.
        """
        try:
            with _decompressed(path) as (file, size):
                yield from _documents(path, file, size, reader)
        except (ValueError, UnicodeDecodeError, *DAMAGED_DATA) as error:
            raise _damaged(path, error) from error

    def read_settings(self, path: StrPath) -> EncodeSettings | None:
        """Return the encoding settings, or None when the description does not contain them."""
        path = Path(path)
        try:
            with open_input(path) as file:
                beginning = file.read(_LARGEST_HEADER)
            description = header_from(read_message(BytesIO(beginning), len(beginning))).description
        except (ValueError, UnicodeDecodeError, *DAMAGED_DATA) as error:
            raise _damaged(path, error) from error
        if not description.startswith(_DESCRIPTION_WITH_SETTINGS):
            return None
        return settings_from_json(description.removeprefix(_DESCRIPTION_WITH_SETTINGS))

    def write(self, file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
        """Write an index.

        Needs memory for the vocabulary, 16 bytes per document and 200 MB, and 20 bytes of disk per posting.
        """
        with Spool("the CIFF file") as spool:
            spool.fill(documents)
            longest = max(spool.sums, default=0)
            if longest > GREATEST_INT32:
                raise InputError(
                    f"The impacts of a document sum to {longest:,}.", expected=f"at most {GREATEST_INT32:,}"
                )
            description = _DESCRIPTION_WITH_SETTINGS + settings.model_dump_json() if settings else _DESCRIPTION
            header = Header(len(spool.tokens), len(spool.lengths), sum(spool.sums), description)
            write_message(file, header.encoded())
            with Buckets(even_bounds(len(spool.tokens), spool.postings)) as buckets:
                for block in spool.blocks():
                    buckets.add(block.terms, block.documents, block.impacts)
                for triples in buckets.sorted():
                    for term, rows in _groups(triples):
                        postings = rows.astype(np.int64)
                        write_message(file, PostingsList(spool.tokens[term], postings[:, 1], postings[:, 2]).encoded())
            for document, (id_, length) in enumerate(zip(spool.ids(), spool.sums, strict=True)):
                write_message(file, DocRecord(document, id_, length).encoded())


def _groups(triples: npt.NDArray[np.int32]) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
    """Yield each value of the first column, which is sorted, with its rows."""
    starts = np.flatnonzero(np.diff(triples[:, 0], prepend=-1))
    for rows in np.split(triples, starts[1:]):
        if len(rows):
            yield int(rows[0, 0]), rows


def _documents(path: Path, file: IO[bytes], size: int, reader: VectorReader) -> Iterator[LocatedDocument]:
    """Yield the documents of an open file of `size` bytes. Raises `ValueError` when it is damaged."""
    header = header_from(read_message(file, size))
    if header.documents + header.postings_lists > size:
        raise ValueError("the header announces more than the file contains")
    with Buckets(even_bounds(header.documents, size // SMALLEST_POSTING)) as buckets:
        tokens = np.array(_read_postings(file, size, header, buckets), dtype=object)
        for document, rows in _rows(buckets, header.documents):
            record = doc_record_from(read_message(file, size))
            if record.number != document:
                raise ValueError(f"document records are out of order: {record.number} instead of {document}")
            location = Location(path, document + 1, "document")
            vector = dict(zip(tokens[rows[:, 1]].tolist(), rows[:, 2].tolist(), strict=True))
            # Other programs may write lengths as Lucene rounds them.
            if header.description.startswith(_DESCRIPTION) and record.length != sum(vector.values()):
                raise ValueError(f"the impacts of {record.id!r} do not sum to its length, {record.length:,}")
            yield location, ImpactDocument(document_id(record.id, location), reader(vector, location))
    if file.read(1):
        raise ValueError("there are data after the last document record")


def _read_postings(file: IO[bytes], size: int, header: Header, buckets: Buckets) -> list[str]:
    """Add all postings to `buckets` by document, with their list's position, and return the tokens of the lists."""
    tokens: list[str] = []
    for position in range(header.postings_lists):
        postings = postings_list_from(read_message(file, size))
        if len(postings.documents) and postings.documents[-1] >= header.documents:
            raise ValueError(f"{postings.term!r} is in a document that has no record")
        documents = postings.documents.astype(np.int32)
        tokens.append(postings.term)
        buckets.add(documents, np.full_like(documents, position), postings.impacts.astype(np.int32))
    if len(set(tokens)) < len(tokens):
        raise ValueError("a token has two postings lists")
    return tokens


def _rows(buckets: Buckets, documents: int) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
    """Yield the postings of each document, none for an empty one."""
    no_rows, next_document = np.empty((0, 3), dtype=np.int32), 0
    for triples in buckets.sorted():
        for document, rows in _groups(triples):
            yield from ((empty, no_rows) for empty in range(next_document, document))
            yield document, rows
            next_document = document + 1
    yield from ((empty, no_rows) for empty in range(next_document, documents))


@contextmanager
def _decompressed(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file, or a temporary one with its content if it is compressed; yield it with its size."""
    with open_input(path) as file:
        if is_plain(file):
            yield file, path.stat().st_size
            return
        with TemporaryFile() as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
            size = copy.tell()
            copy.seek(0)
            yield copy, size


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is not a valid CIFF file: {error}.",
        expected="a complete file of CIFF version 1",
        do="Create or download the file again.",
    )
