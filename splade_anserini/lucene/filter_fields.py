"""Fields of documents by which hits can be filtered: their declaration, and their values as Lucene indexes them."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from splade_anserini.errors import InputError
from splade_anserini.formats.parsing.json_records import json_type
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.records import FILTER_TYPES, FilterType, JsonDocument

_NAME = re.compile(r"[^\W\d][\w.-]*(?: [\w.-]+)*")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_PARTIAL_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?")
_MOST_BYTES = 32_766
"""The longest term of Lucene."""

_RESERVED = {"id", "contents", "raw"}
_ISO_DATE = re.compile(r"\d{4}-?(?:\d{2}-?\d{2}|W\d{2}(?:-?\d)?)(?:[Tt ].+)?", re.ASCII)
"""Python takes any character between date and time, so that it reads 1419071770911, in milliseconds, as of 1419."""
_DAY = 24 * 60 * 60 * 1000

LEAST_INT, GREATEST_INT = -(2**63), 2**63 - 1

EXPECTED: dict[FilterType, str] = {
    "int": "an integer of at most 64 bits",
    "float": "a finite number",
    "str": f"a string of at most {_MOST_BYTES:,} bytes",
    "date": "a date in ISO 8601, such as 2024, 2024-05, 2024-05-31 or 2024-05-31T12:00:00Z",
}


def parse_filter_fields(declared: str | None) -> dict[str, FilterType]:
    """Return the type of each field that `NAME:TYPE,…` declares; the type is str where it is left out.

    Raises `InputError` for a name or type that is not valid.
    """
    fields: dict[str, FilterType] = {}
    for part in map(str.strip, [] if declared is None else declared.split(",")):
        name, _, type_name = map(str.strip, (part if ":" in part else f"{part}:str").rpartition(":"))
        type_ = next((type_ for type_ in FILTER_TYPES if type_ == type_name), None)
        if type_ is None or not _NAME.fullmatch(name):
            raise InputError(
                f"--filter-fields has {part!r}.",
                expected=f"NAME:TYPE, where TYPE is {', '.join(FILTER_TYPES[:-1])} or {FILTER_TYPES[-1]}",
                do="For example: --filter-fields year:int,category:str",
            )
        if name in _RESERVED:
            raise InputError(f"--filter-fields has {name!r}, which is a field of every index.", do="Rename the field.")
        if fields.setdefault(name, type_) != type_:
            raise InputError(f"--filter-fields has {name!r} as {fields[name]} and as {type_}.")
    return fields


def filter_values(document: JsonDocument, name: str, type_: FilterType, location: Location) -> list[str]:
    """Return the values of a field of a document, as text that Java parses; none where the field is missing or empty.

    A list has several values; `a.b` is the field b of the object a. Raises `RecordError` for a value of another type.
    """
    value = _value(document, name)
    values = value if isinstance(value, list | tuple) else [value]
    try:
        return [_text(item, type_) for item in values if item is not None and item != ""]
    except ValueError as error:
        raise location.error(
            f"the field {name!r} is {_shown(value)}",
            expected=f"{EXPECTED[type_]}, as it was declared to be {type_}",
            do=f"Correct the record, or declare {name}:{_fitting(values, type_)}.",
        ) from error


def _fitting(values: Sequence[object], type_: FilterType) -> FilterType:
    """Return a type that values have which are not of the type `type_`."""
    try:
        for value in values if type_ == "int" else ():
            number_of(value, "float")
    except ValueError:
        return "str"
    return "float" if type_ == "int" else "str"


def number_of(value: object, type_: FilterType) -> int | float:
    """Return the number that a value of a numeric field is. Raises `ValueError` for any other value."""
    if isinstance(value, str):
        text = value.strip()
        # Python also reads 1_000 and digits of other scripts.
        if not (_INTEGER if type_ == "int" else _DECIMAL).fullmatch(text):
            raise ValueError("not an integer" if type_ == "int" else "not a number")
        value = int(text) if type_ == "int" else float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a finite number")
    if type_ == "float":
        # Lucene tells -0.0 from 0.0.
        return float(value) + 0.0
    if value != int(value) or not LEAST_INT <= value <= GREATEST_INT:
        raise ValueError("not an integer of 64 bits")
    return int(value)


def keyword_of(value: object) -> str:
    """Return the term of a value of a field of strings, without white space around it, which filters do not have.

    Raises `ValueError` for an object, a number that is not finite, or so great that it may be an integer that was
    rounded when JSON was parsed, and a string that is too long.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    if isinstance(value, float) and abs(value) > GREATEST_INT:
        raise ValueError("not a number of 64 bits")
    if not isinstance(value, str | int | float) or len(str(value).encode()) > _MOST_BYTES:
        raise ValueError("not a string that Lucene can hold")
    return str(value).strip()


def period_of(value: object) -> tuple[int, int]:
    """Return the milliseconds since 1970, in UTC, at which a date begins, and those at which the next one does.

    A date is a year, a month, a day, or a time. Raises `ValueError` for anything else.
    """
    if isinstance(value, datetime):
        start = value
    elif isinstance(value, date):
        start = datetime(value.year, value.month, value.day, tzinfo=UTC)
        return _milliseconds(start), _milliseconds(start) + _DAY
    elif isinstance(value, int) and not isinstance(value, bool):
        return period_of(f"{value:04}")
    elif match := _PARTIAL_DATE.fullmatch(str(value).strip()):
        year, month = int(match[1]), int(match[2] or 1)
        following = divmod(year * 12 + month - 1 + (1 if match[2] else 12), 12)
        return _milliseconds(datetime(year, month, 1, tzinfo=UTC)), _start_of_month(*following)
    else:
        text = str(value).strip()
        if not _ISO_DATE.fullmatch(text):
            raise ValueError("not a date in ISO 8601")
        start = datetime.fromisoformat(text)
        if len(text) <= len("2024-05-31"):
            return period_of(start.date())
    start = start.replace(tzinfo=start.tzinfo or UTC)
    return _milliseconds(start), _milliseconds(start) + 1


def _start_of_month(year: int, month: int) -> int:
    """Return the start of a month, counted from 0, which may be in the year 10000."""
    return _milliseconds(datetime(year, month + 1, 1, tzinfo=UTC)) if year < 10_000 else 253_402_300_800_000


def _milliseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _text(value: object, type_: FilterType) -> str:
    if type_ == "str":
        return keyword_of(value)
    return str(period_of(value)[0] if type_ == "date" else number_of(value, type_))


def _value(document: Mapping[str, Any], name: str) -> Any:
    """Return the value under a name, or under `a.b` the value under b of the object under a."""
    if name in document:
        return document[name]
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _shown(value: object) -> str:
    return repr(value)[:100] if isinstance(value, str | int | float | list | tuple | date) else json_type(value)
