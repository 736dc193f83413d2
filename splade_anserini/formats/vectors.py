"""Vectors of documents that other tools wrote: read in the form that they have, quantized, their zeros left out."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splade_anserini.errors import NOTE
from splade_anserini.formats.parsing.columns import column_key
from splade_anserini.formats.parsing.fields import document_id, optional_text
from splade_anserini.formats.parsing.json_records import Record, json_type
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.tokens import GREATEST_IMPACT, VectorCheck
from splade_anserini.formats.vector_shapes import (
    EXPECTED,
    TOKEN_KEYS,
    WEIGHT_KEYS,
    Columns,
    columns_of,
    parallel_columns,
)
from splade_anserini.records import ImpactDocument, ImpactVector

_ID_NAMES = "id docid documentid docno pid passageid corpusid did chunkid pointid uuid"
_VECTOR_NAMES = (
    "vector vectors sparsevector sparsevectors sparsevalues sparseembedding sparseembeddings sparse splade weights "
    "lexicalweights tokenweights rankfeatures mltokens tokens terms textembedding passageembedding contentembedding "
    "embedding embeddings predictedvalue bow representation rep features expansion impacts ml decoded spladerep"
)
ID_KEYS = tuple(_ID_NAMES.split())
VECTOR_KEYS = frozenset(_VECTOR_NAMES.split())
"""Names of the field of a vector, as `column_key` returns them, besides the two lists of tokens and weights."""
CONTENTS_KEYS = ("contents", "content", "text", "passage", "body")

_SHOWN_KEYS = 12

_WRAPPERS = ("_source", "fields")
"""What holds the fields of a document in hits of Elasticsearch, and in documents of Vespa."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VectorOptions:
    """How vectors of other tools are read."""

    scale: float | None = None
    """impact = round(weight × scale); None: weights are impacts already."""
    vocabulary: Sequence[str] | None = None
    """Tokens by id, for vectors of ids; None: vectors have tokens."""
    id_field: str | None = None
    vector_field: str | None = None
    """Names of fields, those of nested ones with dots; None: recognized by their usual names."""

    @property
    def are_defaults(self) -> bool:
        """Whether impacts of tokens are read from the usual fields."""
        return self == VectorOptions()


class VectorReader:
    """Reads vectors and documents, and counts what it leaves out. Each thread needs its own.

    With `notes`, a line says from which fields ids and vectors are read, where these are not the usual ones. With
    `keeps_fields`, documents have all other fields of their records.
    """

    def __init__(self, options: VectorOptions | None = None, *, notes: bool = True, keeps_fields: bool = False) -> None:
        self._options = options or VectorOptions()
        self._keeps_fields = keeps_fields
        self._logs_notes = notes
        self._plain = self._options.are_defaults
        self._check = VectorCheck()
        self._notes: set[tuple[str, str]] = set()
        self.zeros = 0
        """Entries that were left out because their impact is 0."""

    def __call__(self, value: object, location: Location) -> ImpactVector:
        """Return the impacts of a vector. Raises `RecordError` for what Lucene would change, or that is not known."""
        if self._plain and type(value) is dict and value:
            impacts = value.values()
            if set(map(type, impacts)) == {int} and min(impacts) >= 1 and max(impacts) <= GREATEST_IMPACT:
                self._check.check_tokens(value, location)
                return value
        return self._impacts(self._weights(value, location), location)

    def document(self, record: Record, location: Location) -> ImpactDocument:
        """Return the document in a record. Raises `RecordError` when it has no id or no vector."""
        if self._plain and "id" in record and isinstance(record.get("vector"), dict):
            id_, value, id_key, vector_key = record["id"], record["vector"], "id", "vector"
        else:
            for wrapper in _WRAPPERS:
                if isinstance(inner := record.get(wrapper), dict) and "vector" not in record:
                    record = {**record, **inner}
            id_, id_key = self._id(record, location)
            value, vector_key = self._find_vector(record, location)
            self._note(id_key, vector_key, location)
        contents = _contents(record, location)
        fields = self._other_fields(record, {id_key, vector_key}, contents) if self._keeps_fields else None
        return ImpactDocument(_id_of(id_, location), self(value, location), contents, fields)

    def _other_fields(self, record: Record, read: set[str], contents: str) -> Record:
        """Return the fields of a record that are not its id, its text, a vector, or what holds these."""
        kept = {}
        read |= {"_id"} & {f"_{name}" for name in read}
        for name, value in record.items():
            key = column_key(name)
            is_vector = isinstance(value, dict | list) and key in {*VECTOR_KEYS, *TOKEN_KEYS, *WEIGHT_KEYS}
            is_text = key in CONTENTS_KEYS and value == contents
            if not (name in read or is_vector or is_text or name in (*_WRAPPERS, "put", "update")):
                kept[name] = value
        return kept

    @property
    def tokens_are_numbers(self) -> bool:
        """Whether all tokens that were read are numbers, which may be the ids of a vocabulary."""
        return self._options.vocabulary is None and self._check.only_numbers

    def has_vector(self, record: Mapping[str, object]) -> bool:
        """Say whether a record has a field that is named as those of vectors are."""
        if self._options.vector_field is not None:
            return self._options.vector_field.partition(".")[0] in record or self._options.vector_field in record
        names = {column_key(name) for name in record}
        return not names.isdisjoint((*VECTOR_KEYS, "values", *_WRAPPERS)) or not names.isdisjoint(("put", "update"))

    def columns(self, names: Sequence[str]) -> list[str]:
        """Return the names of the columns that may hold id, vector or contents; all if none is named as a vector."""
        if self._keeps_fields or not self.has_vector(dict.fromkeys(names)):
            return list(names)
        fields = (self._options.id_field or "", self._options.vector_field or "")
        usual = {*ID_KEYS, *VECTOR_KEYS, *TOKEN_KEYS, *WEIGHT_KEYS, *CONTENTS_KEYS, *_WRAPPERS}
        return [name for name in names if column_key(name) in usual or name in fields or name in fields[1].split(".")]

    def _id(self, record: Record, location: Location) -> tuple[object, str]:
        if self._options.id_field is not None:
            return _at(record, self._options.id_field, location), self._options.id_field
        keys = ["id", "_id", *(key for name in ID_KEYS for key in record if column_key(key) == name)]
        key = next((key for key in keys if record.get(key) is not None), None)
        if key is not None:
            return record[key], "id" if key in ("id", "_id") else key
        for key in ("put", "update"):
            if isinstance(name := record.get(key), str) and name.startswith("id:"):
                # The name of a document of Vespa: id:<namespace>:<type>:<key=value>:<id>.
                return name.split(":", 4)[-1], key
        raise location.error(
            f"no id; the keys are {_shown(record)}",
            expected="a string under id, _id or docid",
            do="Name the field with --id-field.",
        )

    def _find_vector(self, record: Record, location: Location) -> tuple[object, str]:
        """Return the value of the field of the vector, and its name."""
        if self._options.vector_field is not None:
            return _at(record, self._options.vector_field, location), self._options.vector_field
        candidates: dict[str, object] = {}
        if columns := parallel_columns({key: value for key, value in record.items() if key != "id"}, location):
            candidates[columns.names] = {"tokens": list(columns.tokens), "weights": list(columns.weights)}
        for key, value in record.items():
            # The two lists are not vectors themselves.
            is_candidate = column_key(key) in VECTOR_KEYS and not (columns and isinstance(value, list))
            if is_candidate and isinstance(value, dict | list | str) and columns_of(value, location):
                candidates[key] = value
        if "vector" in record and ("vector" in candidates or not candidates):
            return record["vector"], "vector"
        if len(candidates) == 1:
            return next((value, key) for key, value in candidates.items())
        if candidates:
            raise location.error(
                f"several vectors: {', '.join(candidates)}",
                expected="one vector in a document",
                do="Name one with --vector-field.",
            )
        raise location.error(
            f"no vector; the keys are {_shown(record)}",
            expected='a record {"id": …, "vector": {"token": impact, …}}',
            do="Name the field with --vector-field, or encode the texts first.",
        )

    def _note(self, id_key: str, vector_key: str, location: Location) -> None:
        names = (id_key, vector_key)
        if not self._logs_notes or names in {("id", "vector"), ("id", "tokens and impacts"), *self._notes}:
            return
        self._notes.add(names)
        _log.log(NOTE, "%s: ids are read from %s, vectors from %s", location, *names)

    def _weights(self, value: object, location: Location) -> dict[str, object]:
        columns = columns_of(value, location)
        if columns is None:
            if not isinstance(value, dict):
                raise location.error(f"the vector is {_described(value)}", expected=EXPECTED)
            columns = Columns(list(value), list(value.values()))
        tokens = self._tokens(columns.tokens, location)
        weights = dict(zip(tokens, columns.weights, strict=True))
        if len(weights) < len(tokens):
            duplicate = next(token for token in weights if tokens.count(token) > 1)
            raise location.error(f"duplicate token {duplicate!r}", expected="each token once")
        return weights

    def _tokens(self, keys: Sequence[object], location: Location) -> list[str]:
        vocabulary = self._options.vocabulary
        if vocabulary is not None:
            return [_token_of(key, vocabulary, location) for key in keys]
        tokens = [key for key in keys if isinstance(key, str)]
        if len(tokens) < len(keys):
            number = next(key for key in keys if not isinstance(key, str))
            if not isinstance(number, int):
                raise location.error(f"a token is {json_type(number)}", expected="strings")
            raise location.error(
                f"the vector has ids of a vocabulary, such as {number}, instead of tokens",
                expected=EXPECTED,
                do="Pass --vocabulary with the vocab.txt or tokenizer.json of the encoder, or its name.",
            )
        return tokens

    def _impacts(self, weights: Mapping[str, object], location: Location) -> ImpactVector:
        scale = self._options.scale
        if scale is not None:
            weights = _scaled(weights, scale, location)
        impacts = {token: weight for token, weight in weights.items() if weight or type(weight) not in {int, float}}
        self.zeros += len(weights) - len(impacts)
        return self._check(impacts, location)


def _scaled(weights: Mapping[str, object], scale: float, location: Location) -> Mapping[str, int]:
    """Return the impacts of weights, rounded as `encode` rounds them, those of 0 included."""
    for token, weight in weights.items():
        if type(weight) not in {int, float}:
            raise location.error(f"the weight of {token!r} is {json_type(weight)}", expected="a number")
    numbers = [weight * scale + 0.5 for weight in weights.values()]  # type: ignore[operator]  # numbers, see above
    if numbers and not (min(numbers) >= 0.5 and max(numbers) < GREATEST_IMPACT + 1 and math.isfinite(sum(numbers))):
        for (token, weight), number in zip(weights.items(), numbers, strict=True):
            if not 0.5 <= number < GREATEST_IMPACT + 1:
                raise location.error(
                    f"the weight of {token!r} is {weight}, its impact would be {number - 0.5:g}",
                    expected=f"weights of at least 0, whose impacts are at most {GREATEST_IMPACT:,}",
                    do="Drop the token." if not number >= 0.5 else "Use a smaller scale.",
                )
    # All are positive, so this rounds half up, as Java's Math.round.
    return dict(zip(weights, map(int, numbers), strict=True))


def _token_of(key: object, vocabulary: Sequence[str], location: Location) -> str:
    if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10:
        key = int(key)
    if type(key) is not int:
        raise location.error(
            f"the vector has the token {key!r}", expected="ids, as --vocabulary is given", do="Leave --vocabulary out."
        )
    if not 0 <= key < len(vocabulary) or not vocabulary[key]:
        raise location.error(
            f"the id {key} is not in the vocabulary",
            expected=f"ids from 0 to {len(vocabulary) - 1:,}",
            do="Pass the vocabulary of the encoder that made the vectors.",
        )
    return vocabulary[key]


def _id_of(value: object, location: Location) -> str:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise location.error(
            "no id" if value is None else f"the id is {json_type(value)}", expected="a string or an integer under id"
        )
    return document_id(value, location)


def _contents(record: Record, location: Location) -> str:
    for key in CONTENTS_KEYS:
        if key in record:
            if key in ("contents", "content"):
                if text := optional_text(record, location, key):
                    return text
            elif isinstance(text := record[key], str):
                return text
    return ""


def _at(record: Record, field: str, location: Location) -> object:
    """Return the value of a field, `a.b` that of b in a. Raises `RecordError` with the keys that are there."""
    if field in record:
        return record[field]
    value: object = record
    for name in field.split("."):
        if not isinstance(value, dict) or name not in value:
            keys = _shown(value) if isinstance(value, dict) else ""
            raise location.error(
                f"no field {field!r}; the keys are {keys}" if keys else f"no field {field!r}",
                expected="a field of the record",
                do="Name another field.",
            )
        value = value[name]
    return value


def _shown(record: Mapping[str, object]) -> str:
    """Return the first keys of a record for a message: one object may hold all documents."""
    return ", ".join(list(record)[:_SHOWN_KEYS]) + (", …" if len(record) > _SHOWN_KEYS else "")


def _described(value: object) -> str:
    if isinstance(value, list) and len(value) > 1 and set(map(type, value)) <= {int, float}:
        return f"an array of {len(value):,} numbers, as of a dense encoder"
    return json_type(value)
