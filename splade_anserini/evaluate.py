"""Stage: run and judgements → measures."""

import csv
import io
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_anserini.console import run as run_command
from splade_anserini.errors import InputError

if TYPE_CHECKING:
    from ir_measures import Measure, Qrel, ScoredDoc

MEASURES = ("nDCG@10", "RR@10", "R@100", "R@1000")

_log = logging.getLogger(__name__)


class Format(StrEnum):
    """How measures are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The values of measures, by their canonical names."""

    aggregate: Mapping[str, float]
    """Over all judged queries: the mean, or the sum where the measure counts."""
    per_query: Mapping[str, Mapping[str, float]]
    """For each judged query, in the order of the judgements."""
    missing: tuple[str, ...]
    """Judged queries that the run does not answer; each counts as 0, as `trec_eval -c` has it."""


def evaluate(run: Iterable["ScoredDoc"], qrels: Sequence["Qrel"], measures: Sequence["Measure"]) -> Evaluation:
    """Compute the measures over all judged queries; queries of the run without judgements do not count.

    Raises `InputError` when no query of the run is judged, or a measure cannot be computed.
    """
    import ir_measures

    judged = dict.fromkeys(qrel.query_id for qrel in qrels)
    rankings = _judged_part(run, judged)
    per_query = {query_id: {str(measure): float(measure.DEFAULT) for measure in measures} for query_id in judged}
    for metric in ir_measures.iter_calc(measures, qrels, rankings):
        per_query[metric.query_id][str(metric.measure)] = float(metric.value)
    aggregate = {}
    for measure in measures:
        total = measure.aggregator()
        for values in per_query.values():
            total.add(values[str(measure)])
        aggregate[str(measure)] = float(total.result())
    return Evaluation(aggregate, per_query, tuple(query_id for query_id in judged if query_id not in rankings))


def _judged_part(run: Iterable["ScoredDoc"], judged: Mapping[str, None]) -> dict[str, dict[str, float]]:
    """Return the rankings of the judged queries, and warn of what is only in the run or only in the judgements."""
    rankings: dict[str, dict[str, float]] = defaultdict(dict)
    unjudged: dict[str, None] = {}
    for doc in run:
        if doc.query_id in judged:
            rankings[doc.query_id][doc.doc_id] = doc.score
        else:
            unjudged[doc.query_id] = None
    if not rankings:
        raise InputError(
            f"No query of the run is judged: the run has {_some(unjudged)}, the qrels have {_some(judged)}.",
            expected="a run and qrels of the same topics",
            do="Name the qrels that belong to these topics.",
        )
    if unjudged:
        _log.warning(
            "Queries of the run without judgements, which do not count: %d (%s)", len(unjudged), _some(unjudged)
        )
    if absent := {query_id: None for query_id in judged if query_id not in rankings}:
        _log.warning("Judged queries that are not in the run, which count as 0: %d (%s)", len(absent), _some(absent))
    return dict(rankings)


def _some(ids: Mapping[str, None]) -> str:
    """Name the first few."""
    return (", ".join(list(ids)[:3]) or "no queries") + (", …" if len(ids) > 3 else "")


def parse_measures(names: Iterable[str]) -> list["Measure"]:
    """Return the measures that are named, also several in one string, each once, in order.

    Raises `InputError` for a name that ir_measures does not know or cannot compute here.
    """
    # Separators inside parentheses belong to a measure's parameters: RBP(p=0.8, rel=2)
    separate = [name for text in names for name in re.split(r"[\s,]+(?![^(]*\))", text) if name]
    if not separate:
        raise InputError("No measure is named.", expected=f"for example {' '.join(MEASURES)}")
    return list(dict.fromkeys(_measure(name) for name in separate))


def _measure(name: str) -> "Measure":
    import ir_measures

    try:
        measure = ir_measures.parse_measure(name)
        measure.validate_params()  # type: ignore[no-untyped-call]
    except (NameError, ValueError, TypeError, AssertionError) as error:
        known = sorted({known for known in ir_measures.measures.registry if known.isascii()}, key=str.lower)
        raise InputError(
            f"There is no measure {name!r} ({error}).",
            expected=f"one or more of {', '.join(known)}, with a cutoff as in nDCG@10",
        ) from error
    if not ir_measures.DefaultPipeline.supports(measure):  # type: ignore[no-untyped-call]
        raise InputError(
            f"The measure {name!r} cannot be computed: no installed provider of ir_measures has it.",
            do="See https://ir-measur.es for what it needs.",
        )
    return measure


def rendered(evaluation: Evaluation, format: Format, *, per_query: bool) -> str:  # noqa: A002  # as the option
    """Return the values as text: four digits in a table, all digits in JSON and CSV."""
    if format == Format.JSON:
        content: dict[str, object] = {
            "queries": len(evaluation.per_query),
            "missing": len(evaluation.missing),
            "measures": evaluation.aggregate,
        }
        if per_query:
            content["per_query"] = evaluation.per_query
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    rows = [*evaluation.per_query.items()] if per_query else []
    rows.append(("all", evaluation.aggregate))
    header = ["query", *evaluation.aggregate]
    if format == Format.CSV:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([header, *([id_, *values.values()] for id_, values in rows)])
        return text.getvalue()
    from splade_anserini.formats.tables import aligned

    return aligned([header, *([id_, *(f"{value:.4f}" for value in values.values())] for id_, values in rows)])


def command(
    run: Annotated[Path, typer.Option(help="Run file, TREC or MS MARCO (.gz too).")],
    qrels: Annotated[str, typer.Option(help="TREC or BEIR file (.gz too), BEIR directory, or irds:<name>.")],
    measures: Annotated[
        list[str] | None,
        typer.Option(help=f"ir_measures names, by space or comma, or repeated. [default: {' '.join(MEASURES)}]"),
    ] = None,
    per_query: Annotated[bool, typer.Option("--per-query", help="Show each query too.")] = False,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.TABLE,  # noqa: A002  # the option's name
    output: Annotated[Path | None, typer.Option(help="File to write to. [default: standard output]")] = None,
) -> None:
    """Evaluate a run against relevance judgements.

    All judged queries count: one that the run does not answer has 0, as trec_eval -c has it.

    \b
    Example:
      splade-anserini evaluate --run runs/mine.txt --qrels qrels/test.tsv --measures "nDCG@10 RR@10"
    """
    from splade_anserini.files import whole_file
    from splade_anserini.formats.qrels import read_qrels
    from splade_anserini.formats.runs import read_run

    chosen = parse_measures(measures or MEASURES)
    evaluation = evaluate(read_run(run), read_qrels(qrels), chosen)
    text = rendered(evaluation, format, per_query=per_query)
    if output is None:
        typer.echo(text, nl=False)
        return
    with whole_file(output) as file:
        file.write(text.encode())


if __name__ == "__main__":
    run_command(command)
