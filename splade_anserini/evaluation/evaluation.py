"""A run and judgements → the values of measures."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError
from splade_anserini.evaluation.overlap import Judgements, Rankings, mismatch_warning

if TYPE_CHECKING:
    from ir_measures import Measure, Qrel, ScoredDoc

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The values of measures, by their canonical names."""

    aggregate: Mapping[str, float]
    """Over all judged queries: the mean, or the sum where the measure counts."""
    per_query: Mapping[str, Mapping[str, float]]
    """For each judged query, in the order of the judgements."""
    missing: tuple[str, ...]
    """Judged queries that the run does not answer; each counts as 0, as `trec_eval -c` has it."""
    depth: int
    """How many documents the longest ranking of a judged query has."""


def evaluate(
    run: Iterable["ScoredDoc"], qrels: Sequence["Qrel"], measures: Sequence["Measure"], *, label: str = ""
) -> Evaluation:
    """Compute the measures over all judged queries; queries of the run without judgements do not count.

    Warnings begin with the label. Raises `InputError` when no query of the run is judged, or a measure cannot be
    computed.
    """
    import ir_measures

    title = f"{label}: " if label else ""
    judgements: dict[str, set[str]] = defaultdict(set)
    for qrel in qrels:
        judgements[qrel.query_id].add(qrel.doc_id)
    rankings = _judged_part(run, judgements, title)
    if doubt := mismatch_warning(rankings, judgements):
        _log.warning("%s%s", title, doubt)
    per_query = {query_id: {str(measure): float(measure.DEFAULT) for measure in measures} for query_id in judgements}
    names = {measure: str(measure) for measure in measures}
    try:
        for metric in ir_measures.iter_calc(measures, qrels, rankings):
            per_query[metric.query_id][names[metric.measure]] = float(metric.value)
    except Exception as error:
        # What computes measures are programs of all kinds: gdeval, in Perl, takes numbers alone as ids of queries.
        raise InputError(
            f"{title}{', '.join(names.values())} cannot be computed: {error}",
            do="Leave out those that you do not need, one after the other.",
        ) from error
    return Evaluation(
        {names[measure]: _aggregate(measure, per_query.values()) for measure in measures},
        per_query,
        tuple(query_id for query_id in judgements if query_id not in rankings),
        max(map(len, rankings.values())),
    )


def _aggregate(measure: "Measure", per_query: Iterable[Mapping[str, float]]) -> float:
    name, total = str(measure), measure.aggregator()
    for values in per_query:
        total.add(values[name])
    return float(total.result())


def _judged_part(run: Iterable["ScoredDoc"], judgements: Judgements, title: str) -> Rankings:
    """Return the rankings of the judged queries, and warn of what is only in the run or only in the judgements."""
    rankings: dict[str, dict[str, float]] = defaultdict(dict)
    unjudged: dict[str, None] = {}
    for doc in run:
        if doc.query_id in judgements:
            rankings[doc.query_id][doc.doc_id] = doc.score
        else:
            unjudged[doc.query_id] = None
    if not rankings:
        raise InputError(
            f"{title}No query of the run is judged: the run has {_some(unjudged)}, the qrels have {_some(judgements)}.",
            expected="a run and qrels of the same topics",
            do="Name the qrels that belong to these topics.",
        )
    if unjudged:
        _log.warning(
            "%sQueries of the run without judgements, which do not count: %d (%s)",
            title,
            len(unjudged),
            _some(unjudged),
        )
    if absent := [query_id for query_id in judgements if query_id not in rankings]:
        _log.warning(
            "%sJudged queries that are not in the run, which count as 0: %d (%s)", title, len(absent), _some(absent)
        )
    return dict(rankings)


def _some(ids: Iterable[str]) -> str:
    """Name the first few."""
    first = list(islice(ids, 4))
    return (", ".join(first[:3]) or "no queries") + (", …" if len(first) > 3 else "")
