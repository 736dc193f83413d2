"""The messages of CIFF, the Common Index File Format (Lin et al. 2020, arXiv 2003.08276).

Messages are Protocol Buffers. A file contains one Header, then the number of PostingsLists and DocRecords that the
header gives, each preceded by its length. A PostingsList stores the differences between consecutive document numbers.
Fields are expected in the order of their numbers, as all writers produce them; fields that are 0 may be omitted.
"""

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from splade_anserini.conversion.varints import decode_varints, encode_varints, read_varint, varint, varint_at
from splade_anserini.errors import counted

type Integers = npt.NDArray[np.int64]

VERSION = 1
_VARINT, _DOUBLE, _BYTES = 0, 1, 2
"""Wire types of fields."""

_POSTING, _DOCUMENT, _FREQUENCY = 0x22, 0x08, 0x10
"""Tags of a posting in its list, and of the document number and term frequency in a posting."""


class Header(NamedTuple):
    """The number of messages in a file, and a description."""

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
            _tag(1, _VARINT) + varint(VERSION)
            + _tag(2, _VARINT) + lists
            + _tag(3, _VARINT) + documents
            + _tag(4, _VARINT) + lists
            + _tag(5, _VARINT) + documents
            + _tag(6, _VARINT) + varint(self.total_terms)
            + _tag(7, _DOUBLE) + average
            + _tag(8, _BYTES) + varint(len(text)) + text
        )  # fmt: skip


class PostingsList(NamedTuple):
    """A term, the ascending numbers of its documents, and its impacts in them."""

    term: str
    documents: Integers
    impacts: Integers

    def encoded(self) -> bytes:
        """Return the message."""
        term = self.term.encode()
        gaps = np.diff(self.documents, prepend=0).astype(np.uint64)
        columns = np.empty((len(gaps), 6), dtype=np.uint64)
        columns[:, 0], columns[:, 2], columns[:, 4] = _POSTING, _DOCUMENT, _FREQUENCY
        columns[:, 1] = 2 + _lengths(gaps) + _lengths(self.impacts)
        columns[:, 3], columns[:, 5] = gaps, self.impacts
        head = _tag(1, _BYTES) + varint(len(term)) + term
        head += _tag(2, _VARINT) + varint(len(gaps)) + _tag(3, _VARINT) + varint(int(self.impacts.sum()))
        # Tags and lengths are below 128, and hence their own varints.
        return head + encode_varints(columns.ravel())


class DocRecord(NamedTuple):
    """The number, id and length of a document; the length is the sum of its impacts."""

    number: int
    id: str
    length: int

    def encoded(self) -> bytes:
        """Return the message."""
        name = self.id.encode()
        return (
            _tag(1, _VARINT) + varint(self.number)
            + _tag(2, _BYTES) + varint(len(name)) + name
            + _tag(3, _VARINT) + varint(self.length)
        )  # fmt: skip


def header_from(message: bytes) -> Header:
    """Decode a header. Raises `ValueError` when its version is not 1."""
    fields = {field: value for field, value, _ in _fields(message)}
    version = fields.get(1, 0)
    counts = [fields.get(field, 0) for field in (2, 3, 6)]
    description = fields.get(8, b"")
    if version != VERSION or not all(isinstance(count, int) and count < 1 << 63 for count in counts):
        raise ValueError(f"the header has version {version!r} instead of {VERSION}, or a negative count")
    lists, documents, total = (int(count) for count in counts)
    return Header(lists, documents, total, description.decode() if isinstance(description, bytes) else "")


def doc_record_from(message: bytes) -> DocRecord:
    """Decode a document record. Raises `ValueError` when it is damaged."""
    fields = {field: value for field, value, _ in _fields(message)}
    number, name, length = fields.get(1, 0), fields.get(2, b""), fields.get(3, 0)
    if not isinstance(number, int) or not isinstance(name, bytes) or not isinstance(length, int):
        raise ValueError("a document record is damaged")  # noqa: TRY004  # an error of the data
    return DocRecord(number, name.decode(), length)


def postings_list_from(message: bytes) -> PostingsList:
    """Decode a postings list. Raises `ValueError` when it is damaged, or its counts are wrong."""
    term, document_count, impact_sum, postings_start = b"", 0, 0, len(message)
    for field, value, start in _fields(message):
        if field >= 4:
            postings_start = start
            break
        if field == 1 and isinstance(value, bytes):
            term = value
        elif isinstance(value, int):
            document_count, impact_sum = (value, impact_sum) if field == 2 else (document_count, value)
    integers = decode_varints(message[postings_start:])
    if len(integers) > 2 and integers[2] == _FREQUENCY:  # the document number 0 is omitted
        integers = np.concatenate((integers[:2], np.array([_DOCUMENT, 0], dtype=np.uint64), integers[2:]))
    if len(integers) % 6:
        raise ValueError(f"the postings of {term.decode()!r} are damaged, or contain a document twice")
    columns = integers.reshape(-1, 6)
    if (columns[:, (0, 2, 4)] != (_POSTING, _DOCUMENT, _FREQUENCY)).any() or (columns[:, (3, 5)] >> 31).any():
        raise ValueError(f"the postings of {term.decode()!r} are damaged, or contain a document twice")
    gaps, impacts = columns[:, 3].astype(np.int64), columns[:, 5].astype(np.int64)
    if len(gaps) != document_count or impacts.sum() != impact_sum:
        raise ValueError(
            f"the postings list of {term.decode()!r} announces {counted(document_count, 'posting')} and a sum of "
            f"{impact_sum:,}, but has {len(gaps):,} and {int(impacts.sum()):,}"
        )
    if (gaps[1:] == 0).any():
        raise ValueError(f"the postings of {term.decode()!r} contain a document twice")
    return PostingsList(term.decode(), np.cumsum(gaps), impacts)


def write_message(file: IO[bytes], message: bytes) -> None:
    """Write the length of a message, then the message."""
    file.write(varint(len(message)) + message)


def read_message(file: IO[bytes], size: int) -> bytes:
    """Return the next message of a file of `size` bytes. Raises `ValueError` when it is truncated."""
    length = read_varint(file)
    if length > size - file.tell():
        raise ValueError("the data end within a message")
    return file.read(length)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes, int]]:
    """Yield the number and value of each field, and the position where it starts."""
    position = 0
    while position < len(message):
        start = position
        key, position = varint_at(message, position)
        wire_type = key & 7
        if wire_type == _VARINT:
            value: int | bytes
            value, position = varint_at(message, position)
        elif wire_type in {_DOUBLE, _BYTES}:
            length, position = varint_at(message, position) if wire_type == _BYTES else (8, position)
            value, position = message[position : position + length], position + length
            if position > len(message):
                raise ValueError("the data end within a field")
        else:
            raise ValueError(f"a field has wire type {wire_type}")
        yield key >> 3, value, start


def _tag(field: int, wire_type: int) -> bytes:
    return varint(field << 3 | wire_type)


def _lengths(integers: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Return the bytes of the varint of each integer, which has at most 31 bits."""
    values = np.asarray(integers, dtype=np.uint64)
    longer = [values >= np.uint64(1 << 7 * position) for position in range(1, 5)]
    return np.sum(longer, axis=0, dtype=np.uint64) + np.uint64(1)
