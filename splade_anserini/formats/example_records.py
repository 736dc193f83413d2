"""Training examples as records of files: ids, texts or both, with the scores of a teacher; read and written."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import orjson

from splade_anserini.errors import InputError, counted
from splade_anserini.formats.parsing.compression import open_output
from splade_anserini.formats.parsing.fields import checked_id, finite_score
from splade_anserini.formats.parsing.json_records import Record, json_record, json_type
from splade_anserini.formats.parsing.lines import Location, decode_utf8, refuse_carriage_return
from splade_anserini.formats.parsing.numbers import number_of
from splade_anserini.formats.texts import TextLookup, Texts
from splade_anserini.records import Example, StrPath

_KEYS = ("query", "query_id", "positive", "positive_id", "negatives", "negative_ids", "scores")
_COLUMNS = "2 (query, positive), 3 (and negative) or 5 (score+, score−, query, positive, negative) columns"

_SIMILAR = 0.8
"""From 0 to 1: how similar an unknown key is to one that is read when it is taken for a misspelling."""

type ExampleFormat = Literal["jsonl", "margin-tsv"]


@dataclass(frozen=True, slots=True)
class Passage:
    """The id of a query or document, its text, or both."""

    id: str | None
    text: str | None = None

    def read(self, lookup: TextLookup) -> str:
        """Return the text, looked up if necessary. Raises `InputError` when it is not found."""
        return lookup[self.id or ""] if self.text is None else self.text

    def check(self, lookup: TextLookup, location: Location) -> None:
        """Raise `RecordError` when the text must be looked up and is certainly not there."""
        if self.text is None and (problem := lookup.problem_with(self.id or "")):
            raise location.error(problem, expected="ids in the corpus and the topics, or texts")


@dataclass(frozen=True, slots=True)
class ExampleRecord:
    """A training example whose texts may have to be looked up."""

    query: Passage
    positive: Passage
    negatives: tuple[Passage, ...] = ()
    scores: tuple[float, ...] | None = None
    """The scores of a teacher: first of the positive, then of each negative."""

    def read(self, texts: Texts) -> Example:
        """Return the example with its texts. Raises `InputError` when one is not found."""
        negatives = tuple(negative.read(texts.documents) for negative in self.negatives)
        return Example(self.query.read(texts.queries), self.positive.read(texts.documents), negatives, self.scores)

    def check(self, texts: Texts, location: Location) -> None:
        """Raise `RecordError` when one of the texts is certainly missing."""
        self.query.check(texts.queries, location)
        for passage in (self.positive, *self.negatives):
            passage.check(texts.documents, location)

    def repeats_positive(self) -> bool:
        """Whether the text of a negative is that of the positive."""
        return self.positive.text is not None and any(
            negative.text == self.positive.text for negative in self.negatives
        )

    def json_line(self) -> bytes:
        """Return the record as JSON for `parse_json`, without a line end."""
        record: Record = _json_fields("query", self.query) | _json_fields("positive", self.positive)
        ids, texts = [negative.id for negative in self.negatives], [negative.text for negative in self.negatives]
        if self.negatives:
            columns = {"negative_ids": ids, "negatives": texts}
            record |= {key: values for key, values in columns.items() if None not in values}
        if self.scores is not None:
            record["scores"] = self.scores
        return orjson.dumps(record)


def parse_json(line: bytes, location: Location) -> ExampleRecord:
    """Parse `{"query" and/or "query_id", "positive"…, "negatives" and/or "negative_ids": […], "scores": […]}`.

    Raises `RecordError` for a malformed record, or a key that is nearly one of these.
    """
    record = json_record(line, location)
    _refuse_misspelled_keys(record, location)
    negatives = _negatives(record, location)
    query, positive = _passage(record, location, "query"), _passage(record, location, "positive")
    scores = _scores(record, location, 1 + len(negatives))
    return _example(query, positive, negatives, scores, location)


def unread_keys(line: bytes, location: Location) -> set[str]:
    """Return the keys of a record that `parse_json` does not read."""
    return json_record(line, location, unique_keys=False).keys() - set(_KEYS)


def parse_columns(line: bytes, location: Location, *, ids: bool) -> ExampleRecord:
    """Parse tab-separated ids or texts: query, positive, and perhaps negative.

    With 5 columns, the scores of positive and negative come first (Hofstätter et al. 2020, margin-MSE). Raises
    `RecordError` for another number of columns, an empty column, or a score that is not a number.
    """
    refuse_carriage_return(line, location)
    match decode_utf8(line, location).split("\t"):
        case [_, _] | [_, _, _] as columns:
            scores = None
        case [first, second, *columns] if len(columns) == 3:
            scores = (finite_score(first, location), finite_score(second, location))
        case columns:
            raise location.error(counted(len(columns), "column"), expected=_COLUMNS)
    query, positive, *negatives = (
        Passage(checked_id(column, location)) if ids else Passage(None, _require_words(column, location))
        for column in columns
    )
    return _example(query, positive, tuple(negatives), scores, location)


def write_examples(
    path: StrPath,
    records: Iterable[ExampleRecord],
    format: ExampleFormat = "jsonl",  # noqa: A002  # the option's name
) -> int:
    """Write the records to a file and return their number; gzipped if the name ends in .gz.

    In margin-tsv, each negative has a line: score of the positive, score of the negative, ids of query, positive and
    negative (Hofstätter et al. 2020). The file appears as a whole when `records` is exhausted. Raises `InputError`
    when there are no records, or when margin-tsv is asked for and a record has no scores or ids.
    """
    path = Path(path)
    count = 0
    with open_output(path) as file:
        for count, record in enumerate(records, 1):
            lines = [record.json_line()] if format == "jsonl" else _margin_lines(record, count)
            file.writelines(line + b"\n" for line in lines)
        if not count:
            raise InputError(f"There are no examples to write to {path}.", expected="at least one example")
    return count


def _example(
    query: Passage,
    positive: Passage,
    negatives: tuple[Passage, ...],
    scores: tuple[float, ...] | None,
    location: Location,
) -> ExampleRecord:
    """Return the example. Raises `RecordError` when a negative has the id of the positive."""
    if positive.id is not None and any(negative.id == positive.id for negative in negatives):
        raise location.error(
            f"the document {positive.id!r} is the positive and a negative",
            expected="negatives that are not relevant",
            do="Remove it from the negatives, with its score.",
        )
    return ExampleRecord(query, positive, negatives, scores)


def _refuse_misspelled_keys(record: Record, location: Location) -> None:
    """Raise `RecordError` for an unknown key that is spelled nearly as one that the record lacks."""
    for key in record.keys() - set(_KEYS):
        similar = get_close_matches(key.casefold(), _KEYS, n=1, cutoff=_SIMILAR)
        if similar and similar[0] not in record:
            raise location.error(
                f"the unknown key {key!r}, which is not read",
                expected=f"keys among {', '.join(_KEYS)}",
                do=f"Rename it, perhaps to {similar[0]}.",
            )


def _require_words(text: str, location: Location, name: str = "column") -> str:
    if not text.strip():
        raise location.error(f"an empty {name}", expected="at least one word")
    return text


def _json_fields(name: str, passage: Passage) -> Record:
    fields = {f"{name}_id": passage.id, name: passage.text}
    return {key: value for key, value in fields.items() if value is not None}


def _passage(record: Record, location: Location, name: str) -> Passage:
    id_, text = record.get(f"{name}_id"), record.get(name)
    if id_ is None and text is None:
        keys = ", ".join(record) or "none"
        raise location.error(f"no {name} (keys: {keys})", expected=f"a string under {name} or {name}_id")
    return _checked_passage(id_, text, location, name)


def _negatives(record: Record, location: Location) -> tuple[Passage, ...]:
    ids, texts = _array(record, location, "negative_ids"), _array(record, location, "negatives")
    if ids is not None and texts is not None and len(ids) != len(texts):
        raise location.error(
            f"{counted(len(ids), 'id')} in negative_ids and {counted(len(texts), 'text')} in negatives",
            expected="the same number of both",
        )
    count = len(ids or texts or ())
    pairs = zip(ids or [None] * count, texts or [None] * count, strict=True)
    return tuple(_checked_passage(id_, text, location, "negative") for id_, text in pairs)


def _array(record: Record, location: Location, key: str) -> list[object] | None:
    value = record.get(key)
    if value is not None and not isinstance(value, list):
        raise location.error(f"{key} is {json_type(value)}", expected="an array")
    return value


def _checked_passage(id_: object, text: object, location: Location, name: str) -> Passage:
    if type(id_) is int:
        id_ = str(id_)
    for key, value in ((f"{name} id", id_), (name, text)):
        if value is not None and not isinstance(value, str):
            raise location.error(f"the {key} is {json_type(value)}", expected="a string")
    if id_ is None and text is None:
        raise location.error(f"a {name} is null", expected="a string")
    return Passage(
        checked_id(id_, location) if isinstance(id_, str) else None,
        _require_words(text, location, name) if isinstance(text, str) else None,
    )


def _scores(record: Record, location: Location, count: int) -> tuple[float, ...] | None:
    values: list[Any] | None = _array(record, location, "scores")
    if values is None:
        return None
    if len(values) != count:
        raise location.error(counted(len(values), "score"), expected=f"{count}: of the positive, then of each negative")
    scores = []
    for value in values:
        score = number_of(value)
        if score is None:
            raise location.error(f"a score is {json_type(value)}", expected="a number in the range of 32-bit floats")
        scores.append(score)
    return tuple(scores)


def _margin_lines(record: ExampleRecord, example_number: int) -> Iterator[bytes]:
    passages = (record.query, record.positive, *record.negatives)
    query, positive, *negatives = [passage.id or "" for passage in passages]
    if record.scores is None or not all((query, positive, *negatives)):
        missing = "scores" if record.scores is None else "ids"
        raise InputError(
            f"Example {example_number} has no {missing} and cannot be written as margin-tsv.",
            expected="scores, and ids of query, positive and negatives",
            do="Write jsonl, which holds texts too.",
        )
    positive_score, *negative_scores = record.scores
    for negative, negative_score in zip(negatives, negative_scores, strict=True):
        yield f"{positive_score!r}\t{negative_score!r}\t{query}\t{positive}\t{negative}".encode()
