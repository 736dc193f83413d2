"""Evaluations and comparisons as a text table, JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from splade_anserini.errors import counted
from splade_anserini.evaluation.comparison import SIGNIFICANCE_LEVEL, Comparison, Difference, PValue
from splade_anserini.evaluation.evaluation import Evaluation
from splade_anserini.evaluation.options import Format
from splade_anserini.evaluation.significance import EXACT
from splade_anserini.formats.text_table import text_table


def render(comparison: Comparison, format: Format, *, per_query: bool) -> str:  # noqa: A002  # the option's name
    """Return the values of all runs: four decimals in a table, all digits in JSON and CSV.

    One run is a table with a column for each measure; of several runs, each has a row.
    """
    match [*comparison.evaluations.values()]:
        case [evaluation]:
            return _render_run(evaluation, comparison.measures, format, per_query=per_query)
        case _:
            return _render_runs(comparison, format, per_query=per_query)


def _render_run(evaluation: Evaluation, measures: Sequence[str], format: Format, *, per_query: bool) -> str:  # noqa: A002
    aggregate = _select(evaluation.aggregate, measures)
    rows = {query_id: _select(values, measures) for query_id, values in evaluation.per_query.items()}
    if format == Format.JSON:
        summary = {"queries": len(rows), "missing": len(evaluation.missing), "measures": aggregate}
        if evaluation.collections:
            summary["collections"] = _collections(evaluation, measures)
        return as_json(summary | ({"per_query": rows} if per_query else {}))
    collections = _collections(evaluation, measures)
    lines = [*(rows.items() if per_query else ()), *collections.items(), ("mean" if collections else "all", aggregate)]
    header = ["collection" if collections and not per_query else "query", *measures]
    if format == Format.CSV:
        return as_csv([header, *([query_id, *values.values()] for query_id, values in lines)])
    return text_table([header, *([query_id, *map("{:.4f}".format, values.values())] for query_id, values in lines)])


def _render_runs(comparison: Comparison, format: Format, *, per_query: bool) -> str:  # noqa: A002
    if format == Format.JSON:
        return as_json(_json_content(comparison, per_query=per_query))
    if format == Format.CSV:
        return as_csv(_csv_rows(comparison, per_query=per_query))
    tables = [text_table([*_per_query_rows(comparison)])] if per_query else []
    if any(evaluation.collections for evaluation in comparison.evaluations.values()):
        tables.append(text_table([*_collection_rows(comparison)]))
    tables.append(text_table([*_rows(comparison)]))
    if comparison.baseline is not None:
        tables.append(text_table([*_test_rows(comparison)]) + "".join(f"{line}\n" for line in legend(comparison)))
    return "\n".join(tables)


def _collections(evaluation: Evaluation, measures: Sequence[str]) -> dict[str, dict[str, float]]:
    return {name: _select(values, measures) for name, values in evaluation.collections.items()}


def _select(values: Mapping[str, float], measures: Sequence[str]) -> dict[str, float]:
    """Return the values of these measures, in their order."""
    return {measure: values[measure] for measure in measures}


def as_json(content: object) -> str:
    """Return the content as indented JSON."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """Return the rows as CSV, with all digits of numbers."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


# Tables.


def _rows(comparison: Comparison) -> Iterator[list[str]]:
    tested = comparison.baseline is not None
    yield ["run", *(cell for measure in comparison.measures for cell in ([measure, "Δ "] if tested else [measure]))]
    for label, evaluation in comparison.evaluations.items():
        row = [label]
        for measure in comparison.measures:
            row.append(f"{evaluation.aggregate[measure]:.4f}")
            if label in comparison.differences:
                difference = comparison.differences[label][measure]
                row.append(f"{difference.aggregate:+.4f}{'*' if difference.significant else ' '}")
            elif tested:
                row.append("")
        yield row


def _collection_rows(comparison: Comparison) -> Iterator[list[str]]:
    yield ["run", "collection", *comparison.measures]
    for label, evaluation in comparison.evaluations.items():
        for name, values in evaluation.collections.items():
            yield [label, name, *(f"{values[measure]:.4f}" for measure in comparison.measures)]
        yield [label, "mean", *(f"{evaluation.aggregate[measure]:.4f}" for measure in comparison.measures)]


def _test_rows(comparison: Comparison) -> Iterator[list[str]]:
    yield ["run", "measure", "Δ", "wins", "ties", "losses", "p, t-test", "p, randomization"]
    for label, differences in comparison.differences.items():
        for measure, difference in differences.items():
            counts = map(str, (difference.wins, difference.ties, difference.losses))
            p_values = map(p_cell, (difference.t_test.holm, difference.randomization.holm))
            yield [label, measure, f"{difference.aggregate:+.4f}", *counts, *p_values]


def p_cell(value: float) -> str:
    """Return a p-value with four decimals."""
    return f"{value:.4f}" if value >= 0.0001 else "<0.0001"


def legend(comparison: Comparison) -> Iterator[str]:
    """Yield lines that explain the differences, the p-values and the star. There must be a baseline."""
    options = comparison.randomization
    queries = counted(len(comparison.queries), "judged query", "judged queries")
    yield f"Δ is the difference from {comparison.baseline} over {queries}."
    yield f"* marks a difference with p < {SIGNIFICANCE_LEVEL} in both tests, which are paired, two-sided,"
    yield f"and Holm-corrected for {counted(len(comparison.differences), 'run')} compared in each measure."
    yield f"The randomization test tries all signs if at most {EXACT} queries differ,"
    yield f"else {options.permutations:,} permutations with seed {options.seed}."


def _per_query_rows(comparison: Comparison) -> Iterator[list[str]]:
    labels = [
        (label, f"Δ {label}") if label in comparison.differences else (label,) for label in comparison.evaluations
    ]
    yield ["query", "measure", *(title for titles in labels for title in titles)]
    for query_id in comparison.queries:
        for measure in comparison.measures:
            row = [query_id, measure]
            for label, evaluation in comparison.evaluations.items():
                row.append(f"{evaluation.per_query[query_id][measure]:.4f}")
                if label in comparison.differences:
                    row.append(f"{comparison.differences[label][measure].per_query[query_id]:+.4f}")
            yield row


# CSV: one row for each run and measure, and optionally for each query.


def _csv_rows(comparison: Comparison, *, per_query: bool) -> Iterator[list[object]]:
    tested = comparison.baseline is not None
    counts = ["difference", "wins", "ties", "losses"]
    p_values = ["t_test_p", "t_test_p_holm", "randomization_p", "randomization_p_holm"]
    yield ["run", "query", "measure", "value", *((*counts, *p_values) if tested else ())]
    for label, evaluation in comparison.evaluations.items():
        for measure in comparison.measures:
            difference = comparison.differences.get(label, {}).get(measure)
            for query_id, values in evaluation.per_query.items() if per_query else ():
                change = difference.per_query[query_id] if difference else ""
                yield [label, query_id, measure, values[measure], *([change, *[""] * 7] if tested else [])]
            for name, values in evaluation.collections.items():
                yield [label, f"{name}/all", measure, values[measure], *([""] * 8 if tested else [])]
            cells = _difference_cells(difference) if difference else [""] * 8
            yield [label, "all", measure, evaluation.aggregate[measure], *(cells if tested else [])]


def _difference_cells(difference: Difference) -> list[object]:
    return [
        difference.aggregate,
        *(difference.wins, difference.ties, difference.losses),
        *(difference.t_test.raw, difference.t_test.holm),
        *(difference.randomization.raw, difference.randomization.holm),
    ]


# JSON.


def _json_content(comparison: Comparison, *, per_query: bool) -> dict[str, object]:
    content: dict[str, object] = {"queries": len(comparison.queries)}
    if comparison.baseline is not None:
        content["baseline"] = comparison.baseline
        content["tests"] = {
            "correction": "holm",
            "comparisons": len(comparison.differences),
            "permutations": comparison.randomization.permutations,
            "seed": comparison.randomization.seed,
        }
    content["runs"] = {label: _run_content(comparison, label, per_query=per_query) for label in comparison.evaluations}
    return content


def _run_content(comparison: Comparison, label: str, *, per_query: bool) -> dict[str, object]:
    evaluation, differences = comparison.evaluations[label], comparison.differences.get(label)
    content: dict[str, object] = {
        "missing": len(evaluation.missing),
        "measures": _select(evaluation.aggregate, comparison.measures),
    }
    if evaluation.collections:
        content["collections"] = _collections(evaluation, comparison.measures)
    if differences:
        content["differences"] = {measure: _difference_content(value) for measure, value in differences.items()}
    if per_query:
        content["per_query"] = {
            query_id: _select(values, comparison.measures) for query_id, values in evaluation.per_query.items()
        }
    if per_query and differences:
        content["per_query_differences"] = {
            query_id: {measure: value.per_query[query_id] for measure, value in differences.items()}
            for query_id in evaluation.per_query
        }
    return content


def _difference_content(difference: Difference) -> dict[str, object]:
    return {
        "difference": difference.aggregate,
        "wins": difference.wins,
        "ties": difference.ties,
        "losses": difference.losses,
        "t_test": _p_content(difference.t_test),
        "randomization_test": _p_content(difference.randomization),
    }


def _p_content(p_value: PValue) -> dict[str, float]:
    return {"p": p_value.raw, "p_holm": p_value.holm}
