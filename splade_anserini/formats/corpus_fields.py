"""Which keys or columns of a record are the id, the title and the text of a document."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, Protocol

from splade_anserini.errors import InputError, RecordError
from splade_anserini.formats.parsing.columns import column_key
from splade_anserini.formats.parsing.fields import document_id
from splade_anserini.formats.parsing.json_records import Record, json_type
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.options import option, options
from splade_anserini.records import Document

_IDS = "id docid docno documentid documentno pid passageid corpusid did"
_PASSAGE_IDS = "id pid passageid docid docno documentid documentno corpusid did"
_TEXTS = "text contents content body passage segment passagetext doctext documenttext"
_PASSAGES = {"passage", "passagetext"}
_TITLES = "title doctitle documenttitle"
"""The names of keys and columns as `column_key` returns them; where a record has several, the first one counts."""
_OTHERS = "url headings headline metadata lang language spans source date author score"
_KNOWN = frozenset(f"{_IDS} {_TEXTS} {_TITLES} {_OTHERS}".split())
_PLAIN_IDS = {"id", "_id", "docid"}
_PLAIN_TEXTS = {"text", "contents", "title"}
_PLAIN = _PLAIN_IDS | _PLAIN_TEXTS
_NAME = re.compile(r"[A-Za-z_][\w .#-]{0,39}")
_SHOWN = 20


@options
class CorpusOptions:
    """Which fields of a corpus are read: keys of JSON records, columns of tables."""

    id_field: str | None = option(
        default=None,
        help="Corpus: key or column of the id.",
        unset="id, _id, docid, docno, pid …",
        recorded="set",
    )
    title_field: str | None = option(
        default=None,
        help="Corpus: key or column of the title.",
        unset="title, unless --text-fields is given",
        recorded="set",
    )
    text_fields: tuple[str, ...] = option(
        default=(),
        metavar="NAMES",
        help="Corpus: keys or columns of the text, as title,body. [default: text, contents, body, passage …]",
        recorded="set",
    )

    keeps_fields: ClassVar[bool] = False
    """Whether documents have all other fields of their records, too."""

    def __post_init__(self) -> None:
        for name, value in (("--id-field", self.id_field), ("--title-field", self.title_field)):
            if value is not None and not value.strip():
                raise InputError(f"{name} is empty.", expected="the name of a key or column")
        if self.text_fields and not all(name.strip() for name in self.text_names):
            raise InputError(
                f"--text-fields {','.join(self.text_fields)!r} has an empty name.", expected="for example title,body"
            )

    @property
    def text_names(self) -> tuple[str, ...]:
        """The fields of the text, in their order."""
        return tuple(name for part in self.text_fields for name in part.split(","))

    @property
    def named(self) -> tuple[str, ...]:
        """All fields that are named."""
        return tuple(name for name in (self.id_field, self.title_field, *self.text_names) if name)

    @property
    def settings(self) -> dict[str, str | list[str]] | None:
        """What is named, for a manifest; None when nothing is."""
        values = {"id": self.id_field, "title": self.title_field, "text": list(self.text_names)}
        return {name: value for name, value in values.items() if value} or None

    @classmethod
    def of_settings(cls, settings: Mapping[str, str | list[str]] | None) -> "CorpusOptions":
        """Return the options of which a manifest has these `settings`."""
        if not settings:
            return RECOGNIZED
        id_, title = (str(settings[name]) if name in settings else None for name in ("id", "title"))
        return cls(id_field=id_, title_field=title, text_fields=tuple(settings.get("text", ())))


RECOGNIZED = CorpusOptions()
"""All fields are recognized by their names."""


@options
class WholeRecords(CorpusOptions):
    """As `CorpusOptions`; documents keep all other fields of their records, too."""

    keeps_fields: ClassVar[bool] = True


def whole_records(options: CorpusOptions) -> WholeRecords:
    """Return options that read the same, and keep all fields."""
    return WholeRecords(**asdict(options))


class Fields(NamedTuple):
    """The names of the fields of a record; "" and () where none is recognized."""

    id: str
    title: str
    texts: tuple[str, ...]

    def __str__(self) -> str:
        parts = {"id": self.id, "title": self.title, "text": " and ".join(self.texts)}
        return ", ".join(f"the {role} is {name!r}" for role, name in parts.items() if name)


class Observer(Protocol):
    """What is told how files are read."""

    def on_first(self, location: Location, record: Record) -> None:
        """Take note of the first record of a file whose fields have names."""
        ...

    def on_repair(self, location: Location) -> None:
        """Take note of a record with half of a surrogate pair, which was replaced."""
        ...


@lru_cache(maxsize=256)
def choose_fields(names: tuple[str, ...], options: CorpusOptions) -> Fields:
    """Return the fields that options name, and those that are recognized by their names."""
    keys: dict[str, str] = {}
    # `id` comes before `_id`, which has the same key.
    for name in sorted(names, key=lambda name: name.startswith("_")):
        keys.setdefault(column_key(name), name)
    texts = options.text_names or tuple(_first(keys, _TEXTS)[:1])
    is_passage = not options.text_names and bool(texts) and column_key(texts[0]) in _PASSAGES
    id_ = options.id_field or "".join(_first(keys, _PASSAGE_IDS if is_passage else _IDS)[:1])
    title = options.title_field or ("" if options.text_names else "".join(_first(keys, _TITLES)[:1]))
    return Fields(id_, title, texts)


def _first(keys: Mapping[str, str], names: str) -> list[str]:
    return [keys[name] for name in names.split() if name in keys]


def is_header(cells: Iterable[str], options: CorpusOptions) -> bool:
    """Return whether the cells of a first line are names of columns."""
    cells = [column_name(cell) for cell in cells]
    if options.named and set(options.named) <= set(cells):
        return True
    # pandas leaves the first one, of its row numbers, empty.
    if len(cells) < 2 or not all(map(_NAME.fullmatch, cells[cells[0] == "" :])):
        return False
    return not {*_IDS.split(), "text", "contents"}.isdisjoint(map(column_key, cells))


def column_name(cell: str) -> str:
    """Return the name of a column that a cell of a header holds."""
    return cell.strip().strip('"').lstrip("#").strip()


def is_known(name: str) -> bool:
    """Return whether a name is one of those that fields of documents have."""
    return column_key(name) in _KNOWN


def document_of(record: Record, location: Location, options: CorpusOptions = RECOGNIZED) -> Document:
    """Return the document that a record describes. Raises `RecordError` for one without an id or a text."""
    if options is RECOGNIZED or not options.named:
        # Nearly all records are of this form.
        text = record.get("text") or record.get("contents")
        id_key = _plain_id(tuple(record))
        id_ = record.get(id_key) if id_key else None
        if type(text) is str and id_ is not None:
            title = record.get("title")
            if title is None or type(title) is str:
                fields = _fields_beside_plain_ones(record, id_key) if options.keeps_fields else None
                return Document(_id(id_, location), title or "", text, fields)
    document = _document(record, location, options)
    return _with_fields(document, record, options) if options.keeps_fields else document


@lru_cache(maxsize=256)
def _plain_id(names: tuple[str, ...]) -> str | None:
    """Return the name of the id in a record whose id, title and text have their usual names; else None."""
    chosen = choose_fields(names, RECOGNIZED)
    is_plain = chosen.id in _PLAIN_IDS and _PLAIN_TEXTS.issuperset((chosen.title or "title", *chosen.texts))
    return chosen.id if is_plain else None


def _fields_beside_plain_ones(record: Record, id_key: str | None) -> Record:
    return {name: value for name, value in record.items() if name != id_key and name not in _PLAIN_TEXTS}


def document_of_row(row: Record, location: Location, options: CorpusOptions) -> Document:
    """Return the document that a row of a table describes, in which no value stands for an empty text."""
    document = document_of({name: "" if value is None else value for name, value in row.items()}, location, options)
    if not document.fields:
        return document
    return replace(document, fields={name: row[name] for name in document.fields})


def _with_fields(document: Document, record: Record, options: CorpusOptions) -> Document:
    """Return the document of a record with all fields of it that are not its id, title or text."""
    read, empty = _fields(record, options), choose_fields(tuple(record), options)
    names = {read.id, read.title, *read.texts, empty.title, *empty.texts}
    return replace(document, fields={name: value for name, value in record.items() if name not in names})


def describe(record: Record, options: CorpusOptions) -> str:
    """Return how a record is read, for a note, or "" where that is plain."""
    fields = _fields(record, options)
    read = {fields.id, fields.title, *fields.texts}
    strings = [
        name or "the column without a name"
        for name, value in record.items()
        if not options.keeps_fields
        and name not in read
        and ((isinstance(value, str) and value.strip()) or (name == "vector" and value))
    ]
    if read - {""} <= _PLAIN and not strings:
        return ""
    unread = f"; not read: {_listed(strings)}" if strings else ""
    return f"{fields}{unread}"


def _document(record: Record, location: Location, options: CorpusOptions) -> Document:
    fields = _fields(record, options)
    id_ = _value(record, fields.id) if fields.id else None
    if id_ is None:
        raise _missing("no id", "a string under id, _id or docid, or a similar name", "--id-field", record, location)
    id_ = _id(id_, location)
    title = _text(record, fields.title, location, "title") if fields.title else ""
    parts = [_text(record, name, location, "text", is_named=bool(options.text_names)) for name in fields.texts]
    if fields.texts and options.text_names:
        for name in fields.texts:
            if not _has(record, name):
                raise _missing(f"no {name!r}", "the text under this name", "--text-fields", record, location)
    elif not fields.texts or (_value(record, fields.texts[0]) is None and not title):
        expected = "a string under text or contents, or a similar name"
        raise _missing("no text", expected, "--text-fields", record, location)
    return Document(id_, title, " ".join(part for part in parts if part) if len(parts) > 1 else "".join(parts))


def _fields(record: Record, options: CorpusOptions) -> Fields:
    """Return the fields of a record; one with a value comes before one without."""
    filled = tuple(name for name, value in record.items() if value is not None and value != "")
    fields = choose_fields(filled, options)
    if fields.id and fields.texts:
        return fields
    every = choose_fields(tuple(record), options)
    return Fields(fields.id or every.id, fields.title, fields.texts or every.texts)


def _value(record: Record, name: str) -> Any:
    """Return the value under a name, or under `a.b` the value under b of the object under a."""
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _has(record: Record, name: str) -> bool:
    return name in record or _value(record, name) is not None


def _id(value: object, location: Location) -> str:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise location.error(f"the id is {json_type(value)}", expected="a string under id, _id or docid")
    return document_id(value, location)


def _text(record: Record, name: str, location: Location, noun: str, *, is_named: bool = False) -> str:
    value = _value(record, name)
    if value is None:
        return ""
    if is_named and isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " ".join(value)
    if not isinstance(value, str):
        shown = noun if not is_named else repr(name)
        raise location.error(f"the {shown} is {json_type(value)}", expected="a string, or nothing")
    return value


def _missing(problem: str, expected: str, option_name: str, record: Record, location: Location) -> RecordError:
    keys = _listed(_names(record)) or "none"
    return location.error(problem, expected=expected, do=f"Name the right one by {option_name}; there are: {keys}.")


def _names(record: Record) -> list[str]:
    """Return the keys of a record, and of objects in it as `a.b`."""
    names = []
    for name, value in record.items():
        names += [f"{name}.{part}" for part in value] if isinstance(value, dict) and value else [name]
    return names


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
