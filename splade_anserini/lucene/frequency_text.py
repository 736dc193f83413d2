"""Impact pseudo-documents as text in which each token carries its frequency: `cat␟215 ##ing␟6`.

Lucene's DelimitedTermFrequencyTokenFilter reads the frequency from each token, so that none has to be repeated.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from splade_anserini.errors import InputError
from splade_anserini.formats.impacts import read_impact
from splade_anserini.formats.parsing.lines import byte_lines
from splade_anserini.formats.parsing.unique_keys import has_unique_keys
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


_VERBATIM = re.compile(rb'(?:"[^"\\\x00-\x20\x7f-\xff]{1,255}+": ?[1-9][0-9]{0,5}+(?:, ?|\Z))++')
_TOKEN = re.compile(rb'"([^"]+)"')
_NUMBERS = re.compile(rb'(?:"[0-9]++": ?[0-9]++(?:, ?|\Z))++')
_TO_TEXT = bytes.maketrans(b",:", b" \x7f")


def trusted_entries(path: Path) -> Iterator[tuple[Entry, bytes]]:
    """Yield the entry and the record of each document in a file that `encode` wrote.

    The text of an entry is empty where the vector is. Raises `RecordError` or `InputError` for a document that Lucene
    cannot hold.
    """
    reader = VectorReader()
    for location, line in byte_lines(path):
        line_entry = entry_of_line(line)
        if line_entry is None:
            document = read_impact(line, location, reader)
            line_entry = entry(document)
        yield line_entry, line


def id_of_entry(entry_: Entry) -> str:
    """Return the id of the document of an entry."""
    escaped = entry_[0]
    return str(orjson.loads(b'"%b"' % escaped)) if b"\\" in escaped else escaped.decode()


def record_of(document: ImpactDocument) -> bytes:
    """Return the record of a document, as Anserini stores it."""
    return orjson.dumps({"id": document.id, "contents": document.contents, "vector": document.vector})


def entry(document: ImpactDocument) -> Entry:
    """Return the entry of a document."""
    text = " ".join([f"{token}{SEPARATOR}{impact}" for token, impact in document.vector.items()])
    if text.count(SEPARATOR) != len(document.vector):
        token = next(token for token in document.vector if SEPARATOR in token)
        raise InputError(
            f"The token {token!r} of document {document.id} contains U+FFFE, which is not a valid character.",
            do="Remove it, or build the index with --writer anserini.",
        )
    return orjson.dumps(document.id)[1:-1], orjson.dumps(text)[1:-1]


class VerbatimEntry(NamedTuple):
    """An entry that was made of the text of a record, without parsing its vector."""

    id: str
    entry: Entry
    postings: int
    """Tokens of the vector; a token that is there twice counts twice."""
    tokens_are_numbers: bool


def verbatim_entry(line: bytes) -> VerbatimEntry | None:
    """Return the entry of a record that needs no change, several times faster than by parsing its vector.

    The last field is `vector`, an object of tokens in ASCII without white space and escapes, and of impacts from 1 to
    999,999, with at most one space after colons and commas. None for any other line, right or wrong.
    """
    start = line.rfind(b"{") + 1
    vector = line[start:-2]
    if not line.endswith(b"}}") or not vector[-1:].isdigit() or not _VERBATIM.fullmatch(vector):
        return None
    try:
        record = orjson.loads(line[:start] + b"}}")
    except orjson.JSONDecodeError:
        return None
    id_ = record.get("id")
    is_plain = type(id_) is str and id_.split() == [id_] and isinstance(record.get("contents", ""), str)
    # Where a key may be there twice, the whole record is parsed, and the key refused.
    is_plain &= has_unique_keys(record, line[:start])
    if not is_plain or record.get("vector") != {} or next(reversed(record)) != "vector":
        return None
    postings = vector.count(b'"') >> 1
    if vector.count(b":") != postings or vector.count(b",") != postings - 1:
        # A token has a colon or a comma; those of one character are frequent.
        vector = vector.replace(b'":":', b'"\\u003a":').replace(b'",":', b'"\\u002c":')
        if vector.count(b":") != postings or vector.count(b",") != postings - 1:
            return None
    text = vector.translate(_TO_TEXT, b'" ').replace(b"\x7f", _SEPARATOR)
    return VerbatimEntry(id_, (orjson.dumps(id_)[1:-1], text), postings, bool(_NUMBERS.fullmatch(vector)))


def repeated_token(line: bytes) -> str | None:
    """Return a token that is twice in the vector of a line that `verbatim_entry` takes; None for any other line."""
    if not verbatim_entry(line):
        return None
    tokens = _TOKEN.findall(line[line.rfind(b"{") :])
    repeated = next((token for token, count in Counter(tokens).items() if count > 1), None)
    return repeated.decode() if repeated else None


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
    text = None if b"\\" in id_ else _text_of(vector)
    return None if text is None else (id_, text)


def _text_of(vector: bytes) -> bytes | None:
    """Return the text of a vector in JSON without its braces and without white space; None if it is ambiguous."""
    for token, escaped in _SYNTAX_TOKENS:
        vector = vector.replace(token, escaped)
    escapes = vector.count(b"\\")
    if (
        b"{" in vector
        or b"}" in vector
        or b',":' in vector
        or vector.startswith(b'":')
        # Java reads an escape such as \\u00e9 as the character, which must not be the separator.
        or (escapes and (escapes != vector.count(b"\\u") or b"\\ufffe" in vector.lower()))
    ):
        return None
    return vector[1:].replace(b'":', _SEPARATOR).replace(b',"', b" ")
