"""The values of measures as text: one run."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from splade_anserini.formats.parsing.tables import aligned

if TYPE_CHECKING:
    from splade_anserini.evaluation.evaluation import Evaluation


class Format(StrEnum):
    """How measures are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def rendered(
    evaluation: "Evaluation",
    measures: Sequence[str],
    format: Format,  # noqa: A002  # as the option
    *,
    per_query: bool,
) -> str:
    """Return the values of these measures: four digits in a table, all digits in JSON and CSV."""
    aggregate = only(evaluation.aggregate, measures)
    rows = [(id_, only(values, measures)) for id_, values in evaluation.per_query.items()] if per_query else []
    if format == Format.JSON:
        content: dict[str, object] = {
            "queries": len(evaluation.per_query),
            "missing": len(evaluation.missing),
            "measures": aggregate,
        }
        if per_query:
            content["per_query"] = dict(rows)
        return as_json(content)
    rows.append(("all", aggregate))
    header = ["query", *measures]
    if format == Format.CSV:
        return as_csv([header, *([id_, *values.values()] for id_, values in rows)])
    return aligned([header, *([id_, *(f"{value:.4f}" for value in values.values())] for id_, values in rows)])


def only(values: Mapping[str, float], measures: Sequence[str]) -> dict[str, float]:
    """Return the values of these measures, in their order."""
    return {measure: values[measure] for measure in measures}


def as_json(content: object) -> str:
    """Return the content as indented lines."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """Return the rows as lines, with all digits of numbers."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
