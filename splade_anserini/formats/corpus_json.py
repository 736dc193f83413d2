"""Documents as JSON: one record a line, an array of records, or an object with a record or text for each id."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from splade_anserini.errors import RecordError
from splade_anserini.formats.corpus_fields import CorpusOptions, Observer, choose_fields, document_of, is_known
from splade_anserini.formats.corpus_tables import Located
from splade_anserini.formats.parsing.compression import beginning, without_compression_suffix
from splade_anserini.formats.parsing.json_records import Record, tolerant_record
from splade_anserini.formats.parsing.json_stream import json_entries, json_values
from splade_anserini.formats.parsing.lines import byte_lines

_ENTRIES = 1000
"""Keys of an object that are looked at to tell a record from an object of records."""
_EXPECTED = 'a record, or a text, for each id: {"d0": {"title": "…", "text": "…"}, …}'


def read_json(path: Path, options: CorpusOptions, observer: Observer) -> Iterator[Located]:
    """Yield the documents of a file, in any of these forms.

    Raises `RecordError` for a malformed record.
    """
    start = beginning(path, 1 << 12).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    is_document = without_compression_suffix(path.name).lower().endswith(".json")
    if start == b"{" and is_document and (value_type := _type_of_entries(path, options)):
        yield from _entries(path, options, value_type, observer)
        return
    lines = json_values(path) if is_document or start == b"[" else byte_lines(path)
    for location, line in islice(lines, 1):
        record = tolerant_record(line, location, observer.on_repair)
        document = document_of(record, location, options)
        observer.on_first(location, record)
        yield location, document
    for location, line in lines:
        yield location, document_of(tolerant_record(line, location, observer.on_repair), location, options)


def _entries(path: Path, options: CorpusOptions, value_type: bytes, observer: Observer) -> Iterator[Located]:
    is_first = True
    for location, key, value in json_entries(path):
        if value[:1] != value_type:
            raise location.error(f"the value of {key!r} is not like those before it", expected=_EXPECTED)
        # The value is wrapped: a text alone is not an object.
        wrapped = tolerant_record(b'{"text": ' + value + b"}", location, observer.on_repair)["text"]
        record: Record = wrapped if isinstance(wrapped, dict) else {"text": wrapped}
        if not options.id_field and not choose_fields(tuple(record), options).id:
            record = {"id": key, **record}
        document = document_of(record, location, options)
        if is_first:
            observer.on_first(location, record)
            is_first = False
        yield location, document


def _type_of_entries(path: Path, options: CorpusOptions) -> bytes:
    """Return the first character of the values if the file is one object of records or of texts, else b""."""
    values: set[bytes] = set()
    try:
        for _, key, value in islice(json_entries(path), _ENTRIES):
            if key in options.named or (is_known(key) and not value.startswith(b"{")):
                return b""
            values.add(value[:1])
    except RecordError:
        # Several objects, or invalid JSON, of which reading the records says where.
        return b""
    is_mapping = values == {b"{"} or (values == {b'"'} and not options.named)
    return values.pop() if is_mapping else b""
