"""What PyTerrier's data frames hold: texts, impact vectors, rankings."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from splade_anserini.errors import InputError
from splade_anserini.formats.runs import strictly_decreasing
from splade_anserini.records import ImpactVector

TOKS, QUERY_TOKS = "toks", "query_toks"
"""The columns of impact vectors, token → impact: of documents, and of queries."""


class Described:
    """Shows a transformer as the call that makes it, without the arguments that have their defaults."""

    def __repr__(self) -> str:
        arguments = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name)
            if parameter.default is parameter.empty:
                arguments.append(repr(value))
            elif value != parameter.default:
                arguments.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"


def texts(frame: pd.DataFrame, fields: Sequence[str]) -> list[str]:
    """Return the text of each row: its fields that are not empty, with spaces between."""
    return [joined(row, fields) for row in zip(*(frame[field] for field in fields), strict=True)]


def joined(values: Iterable[Any], fields: Sequence[str]) -> str:
    """Return values as one text. Raises `InputError` when one of them, of the column in `fields`, is not a string."""
    parts = list(values)
    for field, part in zip(fields, parts, strict=True):
        if not isinstance(part, str):
            raise InputError(f"A value in the column {field!r} is {part!r}.", expected="a string")
    return " ".join(filter(None, parts))


def vectors(frame: pd.DataFrame, column: str) -> list[ImpactVector]:
    """Return the impact vectors in a column. Raises `InputError` for a value that is none."""
    return [impact_vector(value, column) for value in frame[column]]


def impact_vector(value: Any, column: str) -> ImpactVector:
    """Return a vector without the impacts that are 0. Raises `InputError` when it is not one of integers from 0 up."""
    if not isinstance(value, Mapping):
        raise InputError(f"A value in the column {column!r} is {value!r}.", expected="a dictionary, token → impact")
    for token, impact in value.items():
        if impact < 0 or impact != int(impact):
            raise InputError(
                f"The impact of the token {token!r} in the column {column!r} is {impact!r}.",
                expected="non-negative integers, which Lucene counts",
                do="Use DocumentEncoder and QueryEncoder, or round(weight × scale) with the scale of the documents.",
            )
    return {token: int(impact) for token, impact in value.items() if impact}


def rankings(frame: pd.DataFrame, results: Iterable[Mapping[str, Sequence[Any]]]) -> pd.DataFrame:
    """Return a row for each hit: the columns of its query's row in `frame`, then those of its result.

    There is a result for each row of `frame`: columns of equal length, best hit first, with the column `score`.
    """
    rows: list[int] = []
    columns: dict[str, list[Any]] = {"docno": [], "score": [], "rank": []}
    for row, result in enumerate(results):
        scores = strictly_decreasing(result["score"])
        rows += [row] * len(scores)
        for name, values in {**result, "score": scores, "rank": range(len(scores))}.items():
            columns.setdefault(name, []).extend(values)
    kept = frame[[name for name in frame.columns if name not in columns]].iloc[rows].reset_index(drop=True)
    types = {"docno": object, "score": float, "rank": int}
    return kept.assign(**{name: pd.Series(values, dtype=types.get(name, object)) for name, values in columns.items()})


def reranked(frame: pd.DataFrame, scores: Sequence[float]) -> pd.DataFrame:
    """Return the rows of each query in the order of their scores, equal scores by ascending docno, with ranks."""
    from splade_anserini.ordering import rank_key

    positions: list[int] = []
    new_scores: list[float] = []
    ranks: list[int] = []
    docnos = list(frame["docno"])
    for rows in rows_by_query(frame):
        rows.sort(key=lambda row: rank_key(scores[row], docnos[row]))
        positions += rows
        new_scores += strictly_decreasing([scores[row] for row in rows])
        ranks += range(len(rows))
    columns = {"score": pd.Series(new_scores, dtype=float), "rank": pd.Series(ranks, dtype=int)}
    return frame.iloc[positions].reset_index(drop=True).assign(**columns)


def rows_by_query(frame: pd.DataFrame) -> list[list[int]]:
    """Return the positions of the rows of each query, in the order of their first rows."""
    queries: dict[Any, list[int]] = {}
    for row, query in enumerate(frame["qid"]):
        queries.setdefault(query, []).append(row)
    return list(queries.values())
