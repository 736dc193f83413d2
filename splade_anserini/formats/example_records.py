"""Training examples as they stand in files: ids, texts or both, and a teacher's scores."""

from dataclasses import dataclass
from typing import Any

import orjson

from splade_anserini.formats.parsing.fields import checked_id, finite_score
from splade_anserini.formats.parsing.json_records import Record, json_record, kind
from splade_anserini.formats.parsing.lines import Place, decoded
from splade_anserini.formats.texts import Lookup, Texts
from splade_anserini.records import Example

_COLUMNS = "2 (query, positive), 3 (and negative) or 5 (score+, score−, query, positive, negative) columns"


@dataclass(frozen=True, slots=True)
class Passage:
    """A query or a document by its id, its text, or both."""

    id: str | None
    text: str | None = None

    def read(self, lookup: Lookup) -> str:
        """Return the text. Raises `InputError` when it has to be looked up and is not there."""
        return lookup[self.id or ""] if self.text is None else self.text

    def check(self, lookup: Lookup, place: Place) -> None:
        """Raise `RecordError` when the text has to be looked up and is certainly not there."""
        if self.text is None and (found := lookup.missing(self.id or "")):
            raise place.error(found, expected="ids that the corpus and the topics hold, or texts")


@dataclass(frozen=True, slots=True)
class ExampleRecord:
    """An example whose texts may have to be looked up."""

    query: Passage
    positive: Passage
    negatives: tuple[Passage, ...] = ()
    scores: tuple[float, ...] | None = None

    def read(self, texts: Texts) -> Example:
        """Return the example in texts. Raises `InputError` when one is nowhere."""
        negatives = tuple(negative.read(texts.documents) for negative in self.negatives)
        return Example(self.query.read(texts.queries), self.positive.read(texts.documents), negatives, self.scores)

    def check(self, texts: Texts, place: Place) -> None:
        """Raise `RecordError` when a text is certainly nowhere."""
        self.query.check(texts.queries, place)
        for passage in (self.positive, *self.negatives):
            passage.check(texts.documents, place)

    def json_line(self) -> bytes:
        """Return the record as a line of JSON without its end, which `parse_json` reads."""
        record: Record = _named("query", self.query) | _named("positive", self.positive)
        ids, texts = [negative.id for negative in self.negatives], [negative.text for negative in self.negatives]
        if self.negatives:
            record |= {key: of for key, of in (("negative_ids", ids), ("negatives", texts)) if None not in of}
        if self.scores is not None:
            record["scores"] = self.scores
        return orjson.dumps(record)


def parse_json(line: bytes, place: Place) -> ExampleRecord:
    """Read `{"query" and/or "query_id", "positive"…, "negatives" and/or "negative_ids": […], "scores": […]}`.

    Raises `RecordError` when it is none.
    """
    record = json_record(line, place)
    negatives = _passages(record, place)
    query, positive = _passage(record, place, "query"), _passage(record, place, "positive")
    return ExampleRecord(query, positive, negatives, _json_scores(record, place, 1 + len(negatives)))


def parse_columns(line: bytes, place: Place, *, ids: bool) -> ExampleRecord:
    """Read tab-separated columns, of ids or of texts: query, positive, and perhaps negative.

    With 5 columns, the scores of positive and negative come first (Hofstätter et al. 2020, margin-MSE). Raises
    `RecordError` for another number of columns, an empty one, or a score that is none.
    """
    match decoded(line, place).split("\t"):
        case [_, _] | [_, _, _] as columns:
            scores = None
        case [first, second, *columns] if len(columns) == 3:
            scores = (finite_score(first, place), finite_score(second, place))
        case columns:
            raise place.error(f"{len(columns)} column{'s' * (len(columns) > 1)}", expected=_COLUMNS)
    query, positive, *negatives = (
        Passage(checked_id(column, place)) if ids else Passage(None, _filled(column, place)) for column in columns
    )
    return ExampleRecord(query, positive, tuple(negatives), scores)


def _filled(text: str, place: Place, name: str = "column") -> str:
    if not text.strip():
        raise place.error(f"an empty {name}", expected="at least one word")
    return text


def _named(name: str, passage: Passage) -> Record:
    named = {f"{name}_id": passage.id, name: passage.text}
    return {key: value for key, value in named.items() if value is not None}


def _passage(record: Record, place: Place, name: str) -> Passage:
    id_, text = record.get(f"{name}_id"), record.get(name)
    if id_ is None and text is None:
        raise place.error(f"no {name}", expected=f"a string under {name} or {name}_id")
    return _checked(id_, text, place, name)


def _passages(record: Record, place: Place) -> tuple[Passage, ...]:
    ids, texts = _array(record, place, "negative_ids"), _array(record, place, "negatives")
    if ids is not None and texts is not None and len(ids) != len(texts):
        raise place.error(f"{len(ids)} negative_ids beside {len(texts)} negatives", expected="as many")
    count = len(ids or texts or ())
    pairs = zip(ids or [None] * count, texts or [None] * count, strict=True)
    return tuple(_checked(id_, text, place, "negative") for id_, text in pairs)


def _array(record: Record, place: Place, key: str) -> list[object] | None:
    value = record.get(key)
    if value is not None and not isinstance(value, list):
        raise place.error(f"{key} is {kind(value)}", expected="an array")
    return value


def _checked(id_: object, text: object, place: Place, name: str) -> Passage:
    if type(id_) is int:
        id_ = str(id_)
    for key, value in ((f"{name} id", id_), (name, text)):
        if value is not None and not isinstance(value, str):
            raise place.error(f"the {key} is {kind(value)}", expected="a string")
    if id_ is None and text is None:
        raise place.error(f"a {name} is null", expected="a string")
    return Passage(
        checked_id(id_, place) if isinstance(id_, str) else None,
        _filled(text, place, name) if isinstance(text, str) else None,
    )


def _json_scores(record: Record, place: Place, count: int) -> tuple[float, ...] | None:
    values: list[Any] | None = _array(record, place, "scores")
    if values is None:
        return None
    if len(values) != count:
        raise place.error(f"{len(values)} scores", expected=f"{count}: of the positive, then of each negative")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise place.error(f"a score is {kind(value)}", expected="a number")
    return tuple(map(float, values))
