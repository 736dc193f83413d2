"""Impact pseudo-documents as text whose tokens carry their frequency: `cat␟215 ##ing␟6`.

Lucene's DelimitedTermFrequencyTokenFilter reads the frequency off each token, so none has to be repeated.
"""

from collections.abc import Iterator
from pathlib import Path

import orjson

from splade_anserini.errors import InputError
from splade_anserini.formats.impacts import read_impact, read_impacts
from splade_anserini.formats.parsing.lines import byte_lines
from splade_anserini.formats.tokens import VectorCheck
from splade_anserini.records import ImpactDocument

SEPARATOR = "\ufffe"
"""Between a token and its frequency: no character of any text, and no white space to Java."""

type Entry = tuple[bytes, bytes]
"""The id and the text of a document, each as it stands inside a JSON string."""

_SEPARATOR = SEPARATOR.encode()
_START, _VECTOR, _END = b'{"id":"', b'"vector":{', b"}}"
_ALONE = [(b'"\\"":', b'"\\u0022":'), (b'"\\\\":', b'"\\u005c":'), (b'":":', b'"\\u003a":'), (b'",":', b'"\\u002c":')]
"""Tokens that are one character of JSON's own syntax, and how else JSON can spell them."""


def entries(path: Path, *, ours: bool) -> Iterator[tuple[Entry, bytes]]:
    """Yield the entry of each document that has a vector, and its record; `ours` are files that `encode` wrote.

    Raises `RecordError` or `InputError` for a document that Lucene cannot hold.
    """
    if not ours:
        for document in read_impacts(path):
            if document.vector:
                yield entry(document), orjson.dumps(_record(document))
        return
    check = VectorCheck()
    for place, line in byte_lines(path):
        found = entry_of_line(line)
        if found is None:
            document = read_impact(line, place, check)
            found = entry(document) if document.vector else (b"", b"")
        if found[1]:
            yield found, line


def entry(document: ImpactDocument) -> Entry:
    """Return the entry of a document."""
    for token in document.vector:
        if SEPARATOR in token:
            raise InputError(
                f"The token {token!r} of document {document.id} holds U+FFFE, which is no character.",
                do="Take it out, or build the index with --writer anserini.",
            )
    text = " ".join([f"{token}{SEPARATOR}{impact}" for token, impact in document.vector.items()])
    return orjson.dumps(document.id)[1:-1], orjson.dumps(text)[1:-1]


def entry_of_line(line: bytes) -> Entry | None:
    """Return the entry of a line as `impact_line` writes it, without parsing it; None for one that must be parsed.

    In such a line every quote either opens a token, after a brace or a comma, or closes one, before a colon. Tokens
    that hold these characters make it ambiguous: those of one character are spelt in another way, others left alone.
    """
    if not line.startswith(_START) or not line.endswith(_END) or _SEPARATOR in line:
        return None
    id_ = line[len(_START) : line.find(b'"', len(_START))]
    vector = line[line.rfind(_VECTOR) + len(_VECTOR) : -len(_END)]
    if not vector:
        return id_, b""
    for token, other in _ALONE:
        vector = vector.replace(token, other)
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


def _record(document: ImpactDocument) -> dict[str, object]:
    return {"id": document.id, "contents": document.contents, "vector": document.vector}
