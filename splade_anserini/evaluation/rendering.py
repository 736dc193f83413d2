"""Evaluations and comparisons as a text table, JSON, CSV, LaTeX or Markdown."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from splade_anserini.artifacts.html import HtmlColumn, html_fragment, html_table
from splade_anserini.errors import counted
from splade_anserini.evaluation.comparison import SIGNIFICANCE_LEVEL, Comparison, Difference, PValue
from splade_anserini.evaluation.confidence import Interval
from splade_anserini.evaluation.evaluation import Evaluation
from splade_anserini.evaluation.options import Format
from splade_anserini.evaluation.paper_tables import paper_table
from splade_anserini.evaluation.significance import EXACT
from splade_anserini.formats.text_table import text_table


def render(comparison: Comparison, format: Format, *, per_query: bool) -> str:  # noqa: A002  # the option's name
    """Return the values of all runs: four decimals in a table, all digits in JSON and CSV.

    One run is a table with a column for each measure; of several runs, each has a row.
    """
    if format in {Format.LATEX, Format.MARKDOWN}:
        return paper_table(comparison, format)
    match [*comparison.evaluations.values()]:
        case [_]:
            return _render_run(comparison, format, per_query=per_query)
        case _:
            return _render_runs(comparison, format, per_query=per_query)


def _render_run(comparison: Comparison, format: Format, *, per_query: bool) -> str:  # noqa: A002
    ((label, evaluation),) = comparison.evaluations.items()
    measures, intervals = comparison.measures, comparison.intervals.get(label, {})
    aggregate = _select(evaluation.aggregate, measures)
    rows = {query_id: _select(values, measures) for query_id, values in evaluation.per_query.items()}
    if format == Format.JSON:
        summary = {"queries": len(rows), "missing": len(evaluation.missing), "measures": aggregate}
        if intervals:
            summary |= _intervals_content(comparison, intervals)
        if evaluation.collections:
            summary["collections"] = _collections(evaluation, measures)
        return as_json(summary | ({"per_query": rows} if per_query else {}))
    collections = _collections(evaluation, measures)
    lines: list[tuple[str, Mapping[str, float | None]]] = [*(rows.items() if per_query else ()), *collections.items()]
    lines.append(("mean" if collections else "all", aggregate))
    if intervals:
        for bound, index in (("low", 0), ("high", 1)):
            lines.append((f"{_percent(comparison)} {bound}", {m: _bound(intervals[m], index) for m in measures}))
    header = ["collection" if collections and not per_query else "query", *measures]
    if format == Format.CSV:
        return as_csv([header, *([query_id, *values.values()] for query_id, values in lines)])
    return text_table([header, *([query_id, *map(_number, values.values())] for query_id, values in lines)])


def _render_runs(comparison: Comparison, format: Format, *, per_query: bool) -> str:  # noqa: A002
    if format == Format.JSON:
        return as_json(_json_content(comparison, per_query=per_query))
    if format == Format.CSV:
        return as_csv(csv_rows(comparison, per_query=per_query))
    tables = [text_table([*_per_query_rows(comparison)])] if per_query else []
    if any(evaluation.collections for evaluation in comparison.evaluations.values()):
        tables.append(text_table([*_collection_rows(comparison)]))
    tables.append(text_table([*_rows(comparison)]))
    if comparison.intervals:
        tables.append(text_table([*_interval_rows(comparison)]))
    if comparison.baseline is not None:
        lines = [*legend(comparison), "d is the mean difference divided by the standard deviation of the differences."]
        tables.append(text_table([*_test_rows(comparison)]) + "".join(f"{line}\n" for line in lines))
    if comparison.intervals:
        tables[-1] += f"Intervals are of {comparison.bootstrap.bootstraps:,} bootstrap samples of the queries.\n"
    return "\n".join(tables)


def comparison_html(comparison: Comparison) -> str:
    """Return the values of all runs, and the tests of their differences, as a notebook shows them."""
    tables = [[*_rows(comparison)]]
    notes = ""
    if comparison.baseline is not None:
        tables.append([*_test_rows(comparison)])
        notes = f"<p>{escape(' '.join(legend(comparison)))}</p>"
    parts = [
        html_table([HtmlColumn(title, is_text=title in {"run", "measure"}) for title in header], rows)
        for header, *rows in tables
    ]
    return html_fragment("\n".join([*parts, notes]), "Comparison of runs")


def _percent(comparison: Comparison) -> str:
    return f"{100 * (comparison.bootstrap.confidence or 0):g} %"


def _bound(interval: Interval | None, index: int) -> float | None:
    return None if interval is None else interval[index]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


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
    bounds = [f"{_percent(comparison)} low", "high"] if comparison.intervals else []
    yield ["run", "measure", "Δ", *bounds, "d", "wins", "ties", "losses", "p, t-test", "p, randomization"]
    for label, differences in comparison.differences.items():
        for measure, difference in differences.items():
            counts = map(str, (difference.wins, difference.ties, difference.losses))
            p_values = map(p_cell, (difference.t_test.holm, difference.randomization.holm))
            cells = [f"{difference.aggregate:+.4f}"]
            if comparison.intervals:
                cells += [f"{bound:+.4f}" for bound in difference.interval] if difference.interval else ["", ""]
            effect = "" if difference.effect_size is None else f"{difference.effect_size:+.2f}"
            yield [label, measure, *cells, effect, *counts, *p_values]


def _interval_rows(comparison: Comparison) -> Iterator[list[str]]:
    yield ["run", "measure", "value", f"{_percent(comparison)} low", "high"]
    for label, intervals in comparison.intervals.items():
        for measure, interval in intervals.items():
            value = comparison.evaluations[label].aggregate[measure]
            yield [label, measure, f"{value:.4f}", *map(_number, interval or (None, None))]


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


def csv_rows(comparison: Comparison, *, per_query: bool) -> Iterator[list[object]]:
    """Yield the names of the columns, then the rows."""
    tested = comparison.baseline is not None
    counts = ["difference", "wins", "ties", "losses"]
    p_values = ["t_test_p", "t_test_p_holm", "randomization_p", "randomization_p_holm"]
    tests = [
        *counts,
        *p_values,
        "effect_size",
        *(["difference_low", "difference_high"] if comparison.intervals else ()),
    ]
    bounds = ["value_low", "value_high"] if comparison.intervals else []
    yield ["run", "query", "measure", "value", *bounds, *(tests if tested else ())]
    no_bounds, no_tests = [""] * len(bounds), [""] * (len(tests) if tested else 0)
    for label, evaluation in comparison.evaluations.items():
        for measure in comparison.measures:
            difference = comparison.differences.get(label, {}).get(measure)
            for query_id, values in evaluation.per_query.items() if per_query else ():
                change = difference.per_query[query_id] if difference else ""
                cells = [change, *no_tests[1:]] if tested else []
                yield [label, query_id, measure, values[measure], *no_bounds, *cells]
            for name, values in evaluation.collections.items():
                yield [label, f"{name}/all", measure, values[measure], *no_bounds, *no_tests]
            tested_cells = (
                _difference_cells(difference, intervals=bool(comparison.intervals)) if difference else no_tests
            )
            interval = comparison.intervals[label][measure] or ("", "") if comparison.intervals else ()
            yield [label, "all", measure, evaluation.aggregate[measure], *interval, *tested_cells]


def _difference_cells(difference: Difference, *, intervals: bool) -> list[object]:
    return [
        difference.aggregate,
        *(difference.wins, difference.ties, difference.losses),
        *(difference.t_test.raw, difference.t_test.holm),
        *(difference.randomization.raw, difference.randomization.holm),
        "" if difference.effect_size is None else difference.effect_size,
        *((difference.interval or ("", "")) if intervals else ()),
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
    if comparison.intervals:
        content |= _intervals_content(comparison, comparison.intervals[label])
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


def _intervals_content(comparison: Comparison, intervals: Mapping[str, Interval | None]) -> dict[str, object]:
    bounds = {measure: interval._asdict() for measure, interval in intervals.items() if interval}
    return {"confidence": comparison.bootstrap.confidence, "intervals": bounds}


def _difference_content(difference: Difference) -> dict[str, object]:
    return {
        "difference": difference.aggregate,
        "wins": difference.wins,
        "ties": difference.ties,
        "losses": difference.losses,
        "effect_size": difference.effect_size,
        **({"low": difference.interval.low, "high": difference.interval.high} if difference.interval else {}),
        "t_test": _p_content(difference.t_test),
        "randomization_test": _p_content(difference.randomization),
    }


def _p_content(p_value: PValue) -> dict[str, float]:
    return {"p": p_value.raw, "p_holm": p_value.holm}
