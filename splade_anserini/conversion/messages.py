"""The messages of CIFF, the Common Index File Format (Lin et al. 2020, arXiv 2003.08276).

Encoded as Protocol Buffers. A file is one Header, then as many PostingsLists and then as many DocRecords as it
says, each behind its length. In a PostingsList documents are numbered by their distance from the one before. Fields
come in the order of their numbers, as all writers leave them, and those that are 0 may be missing.
"""

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from splade_anserini.conversion.varints import decode_varints, encode_varints, read_varint, varint, varint_at

type Numbers = npt.NDArray[np.int64]

VERSION = 1
_NUMBER, _DOUBLE, _BYTES = 0, 1, 2
"""Kinds of fields."""

_POSTING, _DOCUMENT, _FREQUENCY = 0x22, 0x08, 0x10
"""How a posting begins in its list, and within it the number of the document and the term frequency."""


class Header(NamedTuple):
    """What a file holds."""

    postings_lists: int
    documents: int
    total_terms: int
    """The sum of all document lengths."""
    description: str

    def encoded(self) -> bytes:
        """Return the message."""
        lists, documents = varint(self.postings_lists), varint(self.documents)
        average = struct.pack("<d", self.total_terms / self.documents if self.documents else 0.0)
        text = self.description.encode()
        return (
            _tag(1, _NUMBER) + varint(VERSION)
            + _tag(2, _NUMBER) + lists
            + _tag(3, _NUMBER) + documents
            + _tag(4, _NUMBER) + lists
            + _tag(5, _NUMBER) + documents
            + _tag(6, _NUMBER) + varint(self.total_terms)
            + _tag(7, _DOUBLE) + average
            + _tag(8, _BYTES) + varint(len(text)) + text
        )  # fmt: skip


class PostingsList(NamedTuple):
    """A token's documents, ascending, and its impacts in them."""

    term: str
    documents: Numbers
    impacts: Numbers

    def encoded(self) -> bytes:
        """Return the message."""
        term = self.term.encode()
        gaps = np.diff(self.documents, prepend=0).astype(np.uint64)
        columns = np.empty((len(gaps), 6), dtype=np.uint64)
        columns[:, 0], columns[:, 2], columns[:, 4] = _POSTING, _DOCUMENT, _FREQUENCY
        columns[:, 1] = 2 + _lengths(gaps) + _lengths(self.impacts)
        columns[:, 3], columns[:, 5] = gaps, self.impacts
        head = _tag(1, _BYTES) + varint(len(term)) + term
        head += _tag(2, _NUMBER) + varint(len(gaps)) + _tag(3, _NUMBER) + varint(int(self.impacts.sum()))
        # Tags and lengths are below 128: as numbers of variable length they are themselves.
        return head + encode_varints(columns.ravel())


class DocRecord(NamedTuple):
    """A document's number, id and length, which is the sum of its impacts."""

    number: int
    id: str
    length: int

    def encoded(self) -> bytes:
        """Return the message."""
        name = self.id.encode()
        return (
            _tag(1, _NUMBER) + varint(self.number)
            + _tag(2, _BYTES) + varint(len(name)) + name
            + _tag(3, _NUMBER) + varint(self.length)
        )  # fmt: skip


def header_from(message: bytes) -> Header:
    """Return the header. Raises `ValueError` when it is none of version 1."""
    fields = {number: value for number, value, _ in _fields(message)}
    version = fields.get(1, 0)
    counts = [fields.get(number, 0) for number in (2, 3, 6)]
    description = fields.get(8, b"")
    if version != VERSION or not all(isinstance(count, int) and count < 1 << 63 for count in counts):
        raise ValueError(f"the header is of version {version!r}, not {VERSION}, or has a negative count")
    lists, documents, total = (int(count) for count in counts)
    return Header(lists, documents, total, description.decode() if isinstance(description, bytes) else "")


def doc_record_from(message: bytes) -> DocRecord:
    """Return the record of a document. Raises `ValueError` when it is none."""
    fields = {number: value for number, value, _ in _fields(message)}
    number, name, length = fields.get(1, 0), fields.get(2, b""), fields.get(3, 0)
    if not isinstance(number, int) or not isinstance(name, bytes) or not isinstance(length, int):
        raise ValueError("a record of a document is none")  # noqa: TRY004  # about data, not types
    return DocRecord(number, name.decode(), length)


def postings_list_from(message: bytes) -> PostingsList:
    """Return a token's list. Raises `ValueError` when it is none, or has other counts than it says."""
    term, found, total, rest = b"", 0, 0, len(message)
    for number, value, start in _fields(message):
        if number >= 4:
            rest = start
            break
        if number == 1 and isinstance(value, bytes):
            term = value
        elif isinstance(value, int):
            found, total = (value, total) if number == 2 else (found, value)
    numbers = decode_varints(message[rest:])
    if len(numbers) > 2 and numbers[2] == _FREQUENCY:  # the document of number 0, left out
        numbers = np.concatenate((numbers[:2], np.array([_DOCUMENT, 0], dtype=np.uint64), numbers[2:]))
    if len(numbers) % 6:
        raise ValueError(f"the postings of {term.decode()!r} are damaged, or a document stands twice")
    columns = numbers.reshape(-1, 6)
    if (columns[:, (0, 2, 4)] != (_POSTING, _DOCUMENT, _FREQUENCY)).any() or (columns[:, (3, 5)] >> 31).any():
        raise ValueError(f"the postings of {term.decode()!r} are damaged, or a document stands twice")
    gaps, impacts = columns[:, 3].astype(np.int64), columns[:, 5].astype(np.int64)
    if len(gaps) != found or impacts.sum() != total:
        raise ValueError(
            f"the list of {term.decode()!r} says {found:,} postings and a sum of {total:,}, but has {len(gaps):,} and "
            f"{int(impacts.sum()):,}"
        )
    if (gaps[1:] == 0).any():
        raise ValueError(f"a document stands twice in the list of {term.decode()!r}")
    return PostingsList(term.decode(), np.cumsum(gaps), impacts)


def write_message(file: IO[bytes], message: bytes) -> None:
    """Write a message behind its length."""
    file.write(varint(len(message)) + message)


def read_message(file: IO[bytes], size: int) -> bytes:
    """Return the next message of a file of `size` bytes. Raises `ValueError` when it is cut off."""
    length = read_varint(file)
    if length > size - file.tell():
        raise ValueError("the data end within a message")
    return file.read(length)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes, int]]:
    """Yield each field's number and value, and where it begins."""
    position = 0
    while position < len(message):
        start = position
        key, position = varint_at(message, position)
        kind = key & 7
        if kind == _NUMBER:
            value: int | bytes
            value, position = varint_at(message, position)
        elif kind in {_DOUBLE, _BYTES}:
            length, position = varint_at(message, position) if kind == _BYTES else (8, position)
            value, position = message[position : position + length], position + length
            if position > len(message):
                raise ValueError("the data end within a field")
        else:
            raise ValueError(f"a field is of kind {kind}")
        yield key >> 3, value, start


def _tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def _lengths(numbers: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return how many bytes each number takes; none has more than 31 bits."""
    values = np.asarray(numbers, dtype=np.uint64)
    return np.sum([values >= np.uint64(1 << 7 * place) for place in range(1, 5)], axis=0, dtype=np.uint64) + np.uint64(
        1
    )
