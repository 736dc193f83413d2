"""Reference vectors: what texts should be encoded as, and the file `reference.jsonl` that holds them."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from splade_anserini.artifacts.files import whole_file
from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.json_records import Record, json_records, json_type
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.records import Side, SparseVector, StrPath
from splade_anserini.vectors.pruning import by_strength

SIDES: tuple[Side, ...] = ("document", "query")


@dataclass(frozen=True, slots=True)
class ReferenceVector:
    """A text and the vector that an encoder should give it."""

    id: str
    text: str
    side: Side
    vector: SparseVector
    complete: bool = True
    """Whether the vector holds all entries; else it holds those of greatest weight."""


def read_reference_vectors(path: StrPath) -> Iterator[ReferenceVector]:
    """Yield the vectors of a file: one JSON object a line, `{"id": …, "text": …, "side": …, "vector": {…}}`.

    Raises `RecordError` for a line that is not a reference vector, `InputError` when the file has none or is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"The file {path} does not exist.", expected="a file of reference vectors")
    empty = True
    for location, record in json_records(path):
        empty = False
        yield _reference_vector(record, location)
    if empty:
        raise InputError(f"{path} is empty.", expected="at least one reference vector")


def write_reference_vectors(path: StrPath, references: Iterable[ReferenceVector]) -> int:
    """Write reference vectors, the entries of each by descending weight; return their number."""
    count = 0
    with whole_file(Path(path)) as file:
        for reference in references:
            vector = dict(by_strength(reference.vector.items()))
            record = {"id": reference.id, "text": reference.text, "side": reference.side, "vector": vector}
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def _reference_vector(record: Record, location: Location) -> ReferenceVector:
    expected = '{"id": …, "text": …, "side": "document" or "query", "vector": {"token": weight, …}}'
    for key in ("id", "text", "side", "vector"):
        if key not in record:
            raise location.error(f'no "{key}"', expected=expected)
    for key in ("id", "text"):
        if not isinstance(record[key], str):
            raise location.error(f'"{key}" is {json_type(record[key])}', expected=expected)
    if record["side"] not in SIDES:
        raise location.error(f'"side" is {record["side"]!r}', expected=expected)
    vector = record["vector"]
    if not isinstance(vector, dict):
        raise location.error(f'"vector" is {json_type(vector)}', expected=expected)
    for token, weight in vector.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise location.error(f"the weight of {token!r} is {json_type(weight)}", expected="numbers")
    return ReferenceVector(record["id"], record["text"], record["side"], vector)
