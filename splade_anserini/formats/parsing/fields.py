"""The fields of a record: its id, its text, its score."""

import math

from splade_anserini.formats.parsing.json_records import Record, kind
from splade_anserini.formats.parsing.lines import Place, decoded

ID_KEYS = ("id", "_id", "docid")


def record_id(record: Record, place: Place, keys: tuple[str, ...] = ID_KEYS) -> str:
    """Return the id, an integer as its decimal string. Raises `RecordError` when it has none that can be used."""
    value = _first(record, keys)
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        found = "no id" if value is None else f"the id is {kind(value)}"
        raise place.error(found, expected=f"a string under {_either(keys)}")
    return checked_id(value, place)


def checked_id(value: str, place: Place) -> str:
    """Return the id. Raises `RecordError` when a run file could not hold it."""
    if value.split() != [value]:
        raise place.error(
            f"the id {value!r} holds white space" if value else "the id is empty",
            expected="an id without white space, which separates the columns of a run",
            do="Give it another id.",
        )
    return value


def finite_score(column: str | bytes, place: Place) -> float:
    """Return the score that a column holds. Raises `RecordError` when it is no finite number."""
    try:
        score = float(column)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        text = column if isinstance(column, str) else decoded(column, place)
        raise place.error(f"the score is {text}", expected="a finite number")
    return score


def record_text(record: Record, place: Place, keys: tuple[str, ...]) -> str:
    """Return the text, which may be empty. Raises `RecordError` when there is none."""
    value = _first(record, keys)
    if not isinstance(value, str):
        found = "no text" if value is None else f"the text is {kind(value)}"
        raise place.error(found, expected=f"a string under {_either(keys)}")
    return value


def optional_text(record: Record, place: Place, key: str) -> str:
    """Return the text under `key`, "" when there is none. Raises `RecordError` when it is something else."""
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise place.error(f"the {key} is {kind(value)}", expected="a string, or nothing")
    return value or ""


def _first(record: Record, keys: tuple[str, ...]) -> object:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _either(keys: tuple[str, ...]) -> str:
    return f"{', '.join(keys[:-1])} or {keys[-1]}" if len(keys) > 1 else keys[0]
