"""A sweep as a table: for people, and as CSV."""

from collections.abc import Mapping, Sequence

from splade_anserini.evaluation.rendering import as_csv
from splade_anserini.formats.text_table import text_table
from splade_anserini.tradeoffs.rows import COSTS, Row, fronts
from splade_anserini.tradeoffs.settings import Setting

_VARIED = ("documents", "bits", "queries", "two-phase")
_FIELDS = (
    "entries_document",
    "entries_query",
    "postings",
    "bytes",
    "flops",
    "milliseconds",
    "milliseconds_p95",
)


def as_table(rows: Mapping[Setting, Row], measures: Sequence[str]) -> str:
    """Return a line for each setting; a star is behind each cost on whose front, for the first measure, it is."""
    marks = fronts(list(rows.values()), measures[0])
    lines = [["", *measures, "FLOPS", "", "MB", "", "ms", ""]]
    for number, (setting, row) in enumerate(rows.items()):
        costs = {
            "flops": f"{row.flops:.3f}",
            "bytes": f"{row.bytes / 1e6:.2f}",
            "milliseconds": f"{row.milliseconds:.2f}",
        }
        cells = [cell for cost, text in costs.items() for cell in (text, "*" if marks[cost][number] else "")]
        lines.append([str(setting), *(f"{row.measures[name]:.4f}" for name in measures), *cells])
    return text_table(lines)


def as_comma_separated(rows: Mapping[Setting, Row], measures: Sequence[str]) -> str:
    """Return a line for each setting, all digits; 1 in a column "front …" for one that is on the front."""
    marks = fronts(list(rows.values()), measures[0])
    lines: list[list[object]] = [[*_VARIED, *_FIELDS, *measures, *(f"front {cost}" for cost in COSTS)]]
    for number, (setting, row) in enumerate(rows.items()):
        varied = [setting.parts.get(name, "") for name in _VARIED]
        values = [getattr(row, field) for field in _FIELDS]
        lines.append([*varied, *values, *row.measures.values(), *(int(marks[cost][number]) for cost in COSTS)])
    return as_csv(lines)
