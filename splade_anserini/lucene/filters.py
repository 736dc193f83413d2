"""Filters of hits by fields of their documents: parsed, and as Lucene's queries over terms, points and doc values.

A filter has no part in scores, and none in the statistics of the collection.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

from splade_anserini.artifacts.manifests import IndexManifest, read_manifest
from splade_anserini.errors import InputError
from splade_anserini.lucene.filter_fields import EXPECTED, GREATEST_INT, LEAST_INT, keyword_of, number_of, period_of
from splade_anserini.records import FilterType, StrPath

type Operator = Literal["=", "!=", ">=", "<=", ">", "<"]
OPERATORS: tuple[Operator, ...] = get_args(Operator.__value__)

_FILTER = re.compile(r"\s*([^=!<>]*[^=!<>\s])\s*(>=|<=|!=|==|=|>|<)\s*(.*?)\s*", re.DOTALL)
_SEARCH = "org.apache.lucene.search"


class Filter(NamedTuple):
    """A condition that documents fulfil by a value of a field; those without a value of it never do."""

    field: str
    operator: Operator
    value: str | int | float | date

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the filter that `FIELD=VALUE` describes, or one with another operator. Raises `InputError`."""
        match = _FILTER.fullmatch(text)
        operator = next((name for name in OPERATORS if match and name == match[2].replace("==", "=")), None)
        if not match or operator is None or not match[3]:
            raise InputError(
                f"The filter {text!r} is not a field, an operator and a value.",
                expected=f"FIELD=VALUE, or another operator: {', '.join(OPERATORS[1:])}",
                do="For example: year>=1990",
            )
        return cls(match[1], operator, match[3])

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{self.value}"


type Filters = str | Filter | Sequence[str | Filter]
"""One condition, or several that all have to hold."""


def parse_filters(filters: Filters) -> tuple[Filter, ...]:
    """Return filters as records. Raises `InputError` for one that is not valid."""
    if isinstance(filters, str | Filter):
        filters = [filters]
    return tuple(each if isinstance(each, Filter) else Filter.parse(each) for each in filters)


def fields_for_filters(index: StrPath) -> Mapping[str, FilterType]:
    """Return the fields by which hits of an index can be filtered, with their types, as its manifest says."""
    manifest = read_manifest(Path(index), IndexManifest)
    return (manifest.filter_fields if manifest else None) or {}


def check_filters(index: StrPath, filters: Sequence[Filter]) -> Mapping[str, FilterType]:
    """Return the fields of an index for filters. Raises `InputError` for a filter that does not fit them."""
    fields = fields_for_filters(index) if filters else {}
    for each in filters:
        if each.field not in fields:
            raise _unknown(index, each.field, fields)
        _bounds(each, fields[each.field])
    return fields


def filter_query(index: StrPath, filters: Filters) -> Any:
    """Return Lucene's query for the documents that fulfil all filters; None without filters.

    The caller holds `JAVA_LOCK`. Raises `InputError` for a field that the index does not have for filters, and for a
    value that is not of its type.
    """
    conditions = parse_filters(filters)
    fields = check_filters(index, conditions)
    if not conditions:
        return None
    return _all_of([("FILTER", _query(each, fields[each.field])) for each in conditions])


def _query(condition: Filter, type_: FilterType) -> Any:
    from jnius import autoclass

    if condition.operator == "!=":
        equal = _query(condition._replace(operator="="), type_)
        exists = autoclass(f"{_SEARCH}.FieldExistsQuery")(condition.field)
        return _all_of([("FILTER", exists), ("MUST_NOT", equal)])
    low, high = _bounds(condition, type_)
    if type_ == "str":
        return _keyword_query(condition.field, condition.operator, str(low))
    if low > high:
        return autoclass(f"{_SEARCH}.MatchNoDocsQuery")()
    kind = autoclass(f"org.apache.lucene.document.{'DoubleField' if type_ == 'float' else 'LongField'}")
    return kind.newRangeQuery(condition.field, low, high)


def _keyword_query(field: str, operator: Operator, value: str) -> Any:
    from jnius import autoclass

    if operator == "=":
        term = autoclass("org.apache.lucene.index.Term")(field, value)
        return autoclass(f"{_SEARCH}.TermQuery")(term, signature="(Lorg/apache/lucene/index/Term;)V")
    limits = (value, None) if operator in (">", ">=") else (None, value)
    is_closed = operator in (">=", "<=")
    return autoclass(f"{_SEARCH}.TermRangeQuery").newStringRange(field, *limits, is_closed, is_closed)


def _all_of(clauses: Sequence[tuple[str, Any]]) -> Any:
    from jnius import autoclass

    builder = autoclass(f"{_SEARCH}.BooleanQuery$Builder")()
    occur = autoclass(f"{_SEARCH}.BooleanClause$Occur")
    for name, query in clauses:
        builder.add(
            query,
            getattr(occur, name),
            signature=f"(L{_SEARCH.replace('.', '/')}/Query;L{_SEARCH.replace('.', '/')}/BooleanClause$Occur;)"
            f"L{_SEARCH.replace('.', '/')}/BooleanQuery$Builder;",
        )
    return builder.build()


def _bounds(condition: Filter, type_: FilterType) -> tuple[Any, Any]:
    """Return the least and the greatest number that fulfil a filter; for a string, twice itself."""
    field, operator, value = condition
    try:
        if type_ == "str":
            return (keyword_of(value),) * 2
        if type_ == "date":
            start, end = period_of(value)
            after, before, least, greatest = end, start - 1, LEAST_INT, GREATEST_INT
            last: int | float = end - 1
        elif type_ == "int":
            start = last = int(number_of(value, "int"))
            after, before, least, greatest = start + 1, start - 1, LEAST_INT, GREATEST_INT
        else:
            number = number_of(value, "float")
            return _float_bounds(operator, number)
    except ValueError as error:
        raise InputError(
            f"The filter {str(condition)!r} has a value that is not of the type of {field}, {type_}.",
            expected=EXPECTED[type_],
        ) from error
    low, high = {
        "=": (start, last),
        "!=": (start, last),
        ">=": (start, greatest),
        ">": (after, greatest),
        "<=": (least, last),
        "<": (least, before),
    }[operator]
    return (low, high) if least <= low <= greatest and least <= high <= greatest else (1, 0)


def _float_bounds(operator: Operator, number: float) -> tuple[float, float]:
    return {
        "=": (number, number),
        "!=": (number, number),
        ">=": (number, math.inf),
        ">": (math.nextafter(number, math.inf), math.inf),
        "<=": (-math.inf, number),
        "<": (-math.inf, math.nextafter(number, -math.inf)),
    }[operator]


def _unknown(index: StrPath, field: str, fields: Mapping[str, FilterType]) -> InputError:
    if not fields:
        return InputError(
            f"Index {index} has no fields for filters.", do="Build it with splade-anserini index --filter-fields."
        )
    named = ", ".join(f"{name} ({type_})" for name, type_ in fields.items())
    return InputError(
        f"Index {index} has no field {field!r} for filters.",
        expected=f"one of its fields: {named}",
        do="Correct the name, or build the index with it in --filter-fields.",
    )
