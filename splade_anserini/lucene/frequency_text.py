"""Impact pseudo-documents as text in which each token carries its frequency: `cat␟215 ##ing␟6`.

Lucene's DelimitedTermFrequencyTokenFilter reads the frequency from each token, so that none has to be repeated.
"""

from collections.abc import Iterator
from pathlib import Path

import orjson

from splade_anserini.errors import InputError
from splade_anserini.formats.impacts import read_impact
from splade_anserini.formats.parsing.lines import byte_lines
from splade_anserini.formats.vectors import VectorReader
from splade_anserini.records import ImpactDocument

SEPARATOR = "\ufffe"
"""Between a token and its frequency: a code point that no text contains and that Java does not treat as white space."""

type Entry = tuple[bytes, bytes]
"""The id and the text of a document, each escaped as inside a JSON string."""

_SEPARATOR = SEPARATOR.encode()
_START, _VECTOR, _END = b'{"id":"', b'"vector":{', b"}}"
_SYNTAX_TOKENS = [
    (b'"\\"":', b'"\\u0022":'),
    (b'"\\\\":', b'"\\u005c":'),
    (b'":":', b'"\\u003a":'),
    (b'",":', b'"\\u002c":'),
]
"""Tokens that are one character of JSON's own syntax, each with another way to write it in JSON."""


def trusted_entries(path: Path) -> Iterator[tuple[Entry, bytes]]:
    """Yield the entry and the record of each document with a vector, in a file that `encode` wrote.

    Raises `RecordError` or `InputError` for a document that Lucene cannot hold.
    """
    reader = VectorReader()
    for location, line in byte_lines(path):
        line_entry = entry_of_line(line)
        if line_entry is None:
            document = read_impact(line, location, reader)
            line_entry = entry(document) if document.vector else (b"", b"")
        if line_entry[1]:
            yield line_entry, line


def record_of(document: ImpactDocument) -> bytes:
    """Return the record of a document, as Anserini stores it."""
    return orjson.dumps({"id": document.id, "contents": document.contents, "vector": document.vector})


def entry(document: ImpactDocument) -> Entry:
    """Return the entry of a document."""
    for token in document.vector:
        if SEPARATOR in token:
            raise InputError(
                f"The token {token!r} of document {document.id} contains U+FFFE, which is not a valid character.",
                do="Remove it, or build the index with --writer anserini.",
            )
    text = " ".join([f"{token}{SEPARATOR}{impact}" for token, impact in document.vector.items()])
    return orjson.dumps(document.id)[1:-1], orjson.dumps(text)[1:-1]


def entry_of_line(line: bytes) -> Entry | None:
    """Return the entry of a line as `impact_line` writes it, without parsing it; None for a line that must be parsed.

    In such a line every quote either opens a token, after a brace or a comma, or closes one, before a colon. Tokens
    that contain these characters make the line ambiguous: those of one character are escaped in another way, and lines
    with others must be parsed.
    """
    if not line.startswith(_START) or not line.endswith(_END) or _SEPARATOR in line:
        return None
    id_ = line[len(_START) : line.find(b'"', len(_START))]
    vector = line[line.rfind(_VECTOR) + len(_VECTOR) : -len(_END)]
    if not vector:
        return id_, b""
    for token, escaped in _SYNTAX_TOKENS:
        vector = vector.replace(token, escaped)
    if (
        b"\\" in id_
        or b"{" in vector
        or b"}" in vector
        or b',":' in vector
        or vector.startswith(b'":')
        or vector.count(b"\\") != vector.count(b"\\u00")
    ):
        return None
    return id_, vector[1:].replace(b'":', _SEPARATOR).replace(b',"', b" ")
