"""The results of a sweep as a text table, as JSON and as CSV."""

from collections.abc import Mapping, Sequence

from splade_anserini.evaluation.rendering import as_csv
from splade_anserini.formats.text_table import text_table
from splade_anserini.tradeoffs.results import COSTS, Result, pareto_fronts
from splade_anserini.tradeoffs.settings import Setting

_VARIATIONS = ("documents", "bits", "queries", "two-step")
_LATER_VARIATIONS = ("query-idf", "hybrid")
"""Columns of the CSV file only where they are varied, as earlier versions lack them."""
_FIELDS = (
    "entries_document",
    "entries_query",
    "postings",
    "bytes",
    "flops",
    "milliseconds",
    "milliseconds_p95",
)

type Results = Mapping[Setting, Result]


def as_table(results: Results, measures: Sequence[str]) -> str:
    """Return one line per setting; an asterisk marks the costs whose Pareto front with the first measure it is on.

    The last line names the best setting.
    """
    fronts = pareto_fronts(list(results.values()), measures[0])
    rows = [["", *measures, "FLOPS", "", "MB", "", "ms", ""]]
    for position, (setting, result) in enumerate(results.items()):
        costs = {
            "flops": f"{result.flops:.3f}",
            "bytes": f"{result.bytes / 1e6:.2f}",
            "milliseconds": f"{result.milliseconds:.2f}",
        }
        cells = [cell for cost, text in costs.items() for cell in (text, "*" if fronts[cost][position] else "")]
        rows.append([str(setting), *(f"{result.measures[name]:.4f}" for name in measures), *cells])
    setting, value = best(results, measures[0])
    return (
        f"{text_table(rows)}*: on the Pareto front of {measures[0]} and this cost.\n"
        f"Best {measures[0]}: {setting} ({value:.4f}).\n"
    )


def best(results: Results, measure: str) -> tuple[Setting, float]:
    """Return the setting with the greatest value of a measure, the first of several, and the value."""
    setting = max(results, key=lambda setting: results[setting].measures[measure])
    return setting, results[setting].measures[measure]


def as_json(results: Results, measures: Sequence[str]) -> list[dict[str, object]]:
    """Return one JSON object per setting; `best` is true for the first with the greatest value of the first measure."""
    fronts = pareto_fronts(list(results.values()), measures[0])
    best_setting, _ = best(results, measures[0])
    return [
        {
            "setting": setting.variations,
            **result.model_dump(),
            "pareto_front": [cost for cost in COSTS if fronts[cost][position]],
            "best": setting == best_setting,
        }
        for position, (setting, result) in enumerate(results.items())
    ]


def as_comma_separated(results: Results, measures: Sequence[str]) -> str:
    """Return one line per setting with all digits; the columns `pareto_…` are 1 for those on the Pareto front."""
    fronts = pareto_fronts(list(results.values()), measures[0])
    later = [name for name in _LATER_VARIATIONS if any(name in setting.variations for setting in results)]
    names = [*_VARIATIONS, *later]
    rows: list[list[object]] = [[*names, *_FIELDS, *measures, *(f"pareto_{cost}" for cost in COSTS)]]
    for position, (setting, result) in enumerate(results.items()):
        variations = [setting.variations.get(name, "") for name in names]
        values = [getattr(result, field) for field in _FIELDS]
        on_fronts = [int(fronts[cost][position]) for cost in COSTS]
        rows.append([*variations, *values, *(result.measures[name] for name in measures), *on_fronts])
    return as_csv(rows)
