"""The values of measures as text: several runs side by side, and what tests say of their differences."""

from collections.abc import Iterator

from splade_anserini.evaluation.comparison import SIGNIFICANT, Comparison, Difference, PValue
from splade_anserini.evaluation.rendering import Format, as_csv, as_json, only
from splade_anserini.evaluation.significance import EXACT
from splade_anserini.formats.parsing.tables import aligned


def rendered_comparison(comparison: Comparison, format: Format, *, per_query: bool) -> str:  # noqa: A002  # as the option
    """Return a row a run: four digits in a table, all digits in JSON and CSV."""
    if format == Format.JSON:
        return as_json(_content(comparison, per_query=per_query))
    if format == Format.CSV:
        return as_csv(_csv_rows(comparison, per_query=per_query))
    tables = [aligned([*_per_query_rows(comparison)])] if per_query else []
    tables.append(aligned([*_rows(comparison)]))
    if comparison.baseline is not None:
        tables.append(aligned([*_test_rows(comparison)]) + "".join(f"{line}\n" for line in _legend(comparison)))
    return "\n".join(tables)


# A table.


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


def _test_rows(comparison: Comparison) -> Iterator[list[str]]:
    yield ["run", "measure", "Δ", "wins", "ties", "losses", "p, t-test", "p, randomization"]
    for label, measured in comparison.differences.items():
        for measure, difference in measured.items():
            counts = map(str, (difference.wins, difference.ties, difference.losses))
            p_values = map(_p, (difference.t_test.holm, difference.randomization.holm))
            yield [label, measure, f"{difference.aggregate:+.4f}", *counts, *p_values]


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "<0.0001"


def _legend(comparison: Comparison) -> Iterator[str]:
    others, sampling = len(comparison.differences), comparison.sampling
    runs = f"{others} {'run' if others == 1 else 'runs'}"
    yield f"Δ is the difference from {comparison.baseline}, over {len(comparison.queries)} judged queries."
    yield f"* says that both p-values are below {SIGNIFICANT}. They are of paired, two-sided tests,"
    yield f"corrected after Holm for {runs} compared in each measure."
    yield (
        f"Randomization tries all signs where at most {EXACT} queries differ, "
        f"else {sampling.permutations:,} permutations, seed {sampling.seed}."
    )


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


# CSV: a row for each run, measure and, on request, query.


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
            cells = _cells(difference) if difference else [""] * 8
            yield [label, "all", measure, evaluation.aggregate[measure], *(cells if tested else [])]


def _cells(difference: Difference) -> list[object]:
    return [
        difference.aggregate,
        *(difference.wins, difference.ties, difference.losses),
        *(difference.t_test.raw, difference.t_test.holm),
        *(difference.randomization.raw, difference.randomization.holm),
    ]


# JSON.


def _content(comparison: Comparison, *, per_query: bool) -> dict[str, object]:
    content: dict[str, object] = {"queries": len(comparison.queries)}
    if comparison.baseline is not None:
        content["baseline"] = comparison.baseline
        content["tests"] = {
            "correction": "holm",
            "comparisons": len(comparison.differences),
            "permutations": comparison.sampling.permutations,
            "seed": comparison.sampling.seed,
        }
    content["runs"] = {label: _run_content(comparison, label, per_query=per_query) for label in comparison.evaluations}
    return content


def _run_content(comparison: Comparison, label: str, *, per_query: bool) -> dict[str, object]:
    evaluation, measured = comparison.evaluations[label], comparison.differences.get(label)
    content: dict[str, object] = {
        "missing": len(evaluation.missing),
        "measures": only(evaluation.aggregate, comparison.measures),
    }
    if measured:
        content["differences"] = {measure: _difference_content(value) for measure, value in measured.items()}
    if per_query:
        content["per_query"] = {
            query_id: only(values, comparison.measures) for query_id, values in evaluation.per_query.items()
        }
    if per_query and measured:
        content["per_query_differences"] = {
            query_id: {measure: value.per_query[query_id] for measure, value in measured.items()}
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
