"""The fields of a record: its id, its text, its score."""

import re

from splade_anserini.formats.parsing.json_records import Record, json_type
from splade_anserini.formats.parsing.lines import Location, decode_utf8
from splade_anserini.formats.parsing.numbers import parse_number

_WHITE_SPACE = re.compile(r"[ \t\n\r\f\v\0]")
_BYTE_ORDER_MARK = "\ufeff"

ID_KEYS = ("id", "_id", "docid")


def record_id(record: Record, location: Location, keys: tuple[str, ...] = ID_KEYS) -> str:
    """Return the id, an integer as its decimal string. Raises `RecordError` when it is missing or unusable."""
    value = _first_value(record, keys)
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        problem = "no id" if value is None else f"the id is {json_type(value)}"
        raise location.error(problem, expected=f"a string under {_either(keys)}")
    return checked_id(value, location)


def checked_id(value: str, location: Location) -> str:
    """Return the id. Raises `RecordError` when it is empty or holds white space, which a run cannot represent.

    White space is what trec_eval takes for it, in ASCII; a no-break space is a character like others. A byte order
    mark at the beginning is refused, too: readers of lines remove it, so that the id would be another one in a run.
    """
    if value.startswith(_BYTE_ORDER_MARK):
        raise location.error(
            f"the id {value!r} begins with a byte order mark", expected="an id without it", do="Change the id."
        )
    if not value or _WHITE_SPACE.search(value):
        raise location.error(
            f"the id {value!r} contains {'NUL' if chr(0) in value else 'white space'}" if value else "the id is empty",
            expected="an id without white space, which separates the columns of a run",
            do="Change the id.",
        )
    return value


def document_id(value: str, location: Location) -> str:
    """Return the id of a document, which may contain spaces: an index can hold them, and a run of TREC cannot.

    Raises `RecordError` when it is empty, begins or ends with a space, or holds other white space or NUL.
    """
    if " " in value and value.strip(" ") == value:
        checked_id(value.replace(" ", ""), location)
        return value
    return checked_id(value, location)


def finite_score(column: str | bytes, location: Location) -> float:
    """Return the score in a column. Raises `RecordError` when it is not a number that float32 can hold."""
    score = parse_number(column)
    if score is None:
        text = column if isinstance(column, str) else decode_utf8(column, location)
        raise location.error(f"the score is {text}", expected="a finite number, in the range of 32-bit floats")
    return score


def record_text(record: Record, location: Location, keys: tuple[str, ...]) -> str:
    """Return the first text under `keys` that is not empty, else "". Raises `RecordError` when none is present."""
    value = next((record[key] for key in keys if record.get(key)), None)
    if value is None:
        value = _first_value(record, keys)
    if not isinstance(value, str):
        problem = "no text" if value is None else f"the text is {json_type(value)}"
        raise location.error(problem, expected=f"a string under {_either(keys)}")
    return value


def optional_text(record: Record, location: Location, key: str) -> str:
    """Return the text under `key`, "" when there is none. Raises `RecordError` when the value is not a string."""
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise location.error(f"the {key} is {json_type(value)}", expected="a string, or nothing")
    return value or ""


def _first_value(record: Record, keys: tuple[str, ...]) -> object:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _either(keys: tuple[str, ...]) -> str:
    return f"{', '.join(keys[:-1])} or {keys[-1]}" if len(keys) > 1 else keys[0]
