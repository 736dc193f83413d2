"""CIFF: an inverted index that Lucene (through Anserini), PISA, BMP and other engines exchange.

Term frequencies are impacts, and a document is as long as the sum of its impacts: 0 when its vector is empty.
Lists stand in the order of their tokens' code points. The description in the header ends in how the documents were
encoded.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from splade_anserini.artifacts.manifests import EncodeSettings
from splade_anserini.conversion.buckets import Buckets, even_bounds
from splade_anserini.conversion.format import Format, settings_from
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
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Place
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactDocument

LEAST = 6
"""Bytes of a posting, at least: so a file's size says how many it may hold."""

_OURS = "Impact vectors"
_SETTINGS = f"{_OURS} of splade-anserini, encoded with: "


def write_ciff(file: IO[bytes], documents: Iterable[ImpactDocument], settings: EncodeSettings | None) -> None:
    """Write an index. Memory: the vocabulary, 16 bytes a document, some 200 MB; on disk 20 bytes a posting besides."""
    with Spool("the CIFF file") as spool:
        spool.fill(documents)
        longest = max(spool.sums, default=0)
        if longest > GREATEST_INT32:
            raise InputError(f"The impacts of a document sum up to {longest:,}.", expected="at most 2,147,483,647")
        description = _SETTINGS + settings.model_dump_json() if settings else _OURS
        header = Header(len(spool.tokens), len(spool.lengths), sum(spool.sums), description)
        write_message(file, header.encoded())
        with Buckets(even_bounds(len(spool.tokens), spool.postings)) as buckets:
            for block in spool.blocks():
                buckets.add(block.terms, block.documents, block.impacts)
            for triples in buckets.sorted():
                for term, rows in _groups(triples):
                    postings = rows.astype(np.int64)
                    write_message(file, PostingsList(spool.tokens[term], postings[:, 1], postings[:, 2]).encoded())
        for number, (id_, length) in enumerate(zip(spool.ids(), spool.sums, strict=True)):
            write_message(file, DocRecord(number, id_, length).encoded())


def _groups(triples: npt.NDArray[np.int32]) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
    """Yield the rows that share their first number, which is sorted."""
    cuts = np.flatnonzero(np.diff(triples[:, 0], prepend=-1))
    for rows in np.split(triples, cuts[1:]):
        if len(rows):
            yield int(rows[0, 0]), rows


def read_ciff(path: Path) -> Iterator[ImpactDocument]:
    """Yield the documents. Memory: the vocabulary, some 200 MB, as `write_ciff`; on disk 12 bytes a posting."""
    with _open(path) as file:
        size = path.stat().st_size
        try:
            yield from _documents(path, file, size)
        except (ValueError, UnicodeDecodeError) as error:
            raise _damaged(path, error) from error


def _documents(path: Path, file: IO[bytes], size: int) -> Iterator[ImpactDocument]:
    header = header_from(read_message(file, size))
    if header.documents + header.postings_lists > size:
        raise ValueError("the header promises more than the file holds")
    tokens: list[str] = []
    with Buckets(even_bounds(header.documents, size // LEAST)) as buckets:
        for number in range(header.postings_lists):
            postings = postings_list_from(read_message(file, size))
            if len(postings.documents) and postings.documents[-1] >= header.documents:
                raise ValueError(f"{postings.term!r} is in a document that has no record")
            documents = postings.documents.astype(np.int32)
            tokens.append(postings.term)
            buckets.add(documents, np.full_like(documents, number), postings.impacts.astype(np.int32))
        if len(set(tokens)) < len(tokens):
            raise ValueError("a token has two lists")
        words, check = np.array(tokens, dtype=object), VectorCheck()
        for number, rows in _rows(buckets, header.documents):
            record = doc_record_from(read_message(file, size))
            if record.number != number:
                raise ValueError(f"the records are not in order: {record.number} instead of {number}")
            place = Place(path, number + 1, "document")
            vector = dict(zip(words[rows[:, 1]].tolist(), rows[:, 2].tolist(), strict=True))
            # Others may write lengths as Lucene rounds them.
            if header.description.startswith(_OURS) and record.length != sum(vector.values()):
                raise ValueError(f"the impacts of {record.id!r} do not sum up to its length, {record.length:,}")
            yield ImpactDocument(checked_id(record.id, place), check(vector, place))
    if file.read(1):
        raise ValueError("the file goes on behind its last record")


def _rows(buckets: Buckets, documents: int) -> Iterator[tuple[int, npt.NDArray[np.int32]]]:
    """Yield the postings of each document, also of one that has none."""
    empty, expected = np.empty((0, 3), dtype=np.int32), 0
    for triples in buckets.sorted():
        for number, rows in _groups(triples):
            yield from ((missing, empty) for missing in range(expected, number))
            yield number, rows
            expected = number + 1
    yield from ((missing, empty) for missing in range(expected, documents))


def ciff_settings(path: Path) -> EncodeSettings | None:
    """Return how the documents were encoded, if the description says so."""
    with _open(path) as file:
        try:
            description = header_from(read_message(file, path.stat().st_size)).description
        except (ValueError, UnicodeDecodeError) as error:
            raise _damaged(path, error) from error
    return settings_from(description.removeprefix(_SETTINGS)) if description.startswith(_SETTINGS) else None


def _open(path: Path) -> IO[bytes]:
    if not path.is_file():
        raise InputError(f"{path} does not exist.", do="Check the spelling of the path.")
    return path.open("rb")


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is no whole CIFF file: {error}.", expected="CIFF, version 1", do="Make or fetch the file again."
    )


CIFF = Format("ciff", (".ciff",), read_ciff, write_ciff, ciff_settings)
