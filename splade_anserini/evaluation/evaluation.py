"""The values of measures for one run."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError, counted

if TYPE_CHECKING:
    from ir_measures import Measure, Qrel, ScoredDoc

type Judgements = Mapping[str, Set[str]]
"""Query id → ids of its judged documents, relevant or not."""
type Rankings = Mapping[str, Mapping[str, float]]
"""Query id → document id → score."""

DEEP = 100
"""Number of documents from which on a ranking should contain a judged one.

With one judgement for each query, as in MS MARCO, a sound ranking often misses it near the top: BM25 does for six of
ten queries among the first 10 documents, but for one of three among the first 100.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The values of measures, by the names of ir_measures."""

    aggregate: Mapping[str, float]
    """Over all judged queries: the mean, or the sum for measures that count."""
    per_query: Mapping[str, Mapping[str, float]]
    """For each judged query, in the order of the judgements."""
    missing: tuple[str, ...]
    """Judged queries that are not in the run. Each counts as 0, as in `trec_eval -c`."""
    depth: int
    """Number of documents in the longest ranking of a judged query."""


def evaluate(
    run: Iterable["ScoredDoc"], qrels: Sequence["Qrel"], measures: Sequence["Measure"], *, label: str = ""
) -> Evaluation:
    """Compute measures over all judged queries; queries without judgements are ignored.

    Logs warnings, which begin with `label`, when run and judgements have different queries or seem to be of different
    collections. Raises `InputError` when no query of the run is judged, or a measure cannot be computed.
    """
    import ir_measures

    prefix = f"{label}: " if label else ""
    judgements: dict[str, set[str]] = defaultdict(set)
    for qrel in qrels:
        judgements[qrel.query_id].add(qrel.doc_id)
    rankings = _judged_rankings(run, judgements, prefix)
    if warning := mismatch_warning(rankings, judgements):
        _log.warning("%s%s", prefix, warning)
    per_query = {query_id: {str(measure): float(measure.DEFAULT) for measure in measures} for query_id in judgements}
    names = {measure: str(measure) for measure in measures}
    try:
        for metric in ir_measures.iter_calc(measures, qrels, rankings):
            per_query[metric.query_id][names[metric.measure]] = float(metric.value)
    except Exception as error:
        # Measures are computed by various programs: gdeval, a Perl script, needs numbers as query ids.
        raise InputError(
            f"{prefix}{', '.join(names.values())} cannot be computed: {error}",
            do="Leave out one measure after the other to find out which one fails.",
        ) from error
    return Evaluation(
        {names[measure]: _aggregate(measure, per_query.values()) for measure in measures},
        per_query,
        tuple(query_id for query_id in judgements if query_id not in rankings),
        max(map(len, rankings.values())),
    )


def _aggregate(measure: "Measure", per_query: Iterable[Mapping[str, float]]) -> float:
    name, aggregator = str(measure), measure.aggregator()
    for values in per_query:
        aggregator.add(values[name])
    return float(aggregator.result())


def _judged_rankings(run: Iterable["ScoredDoc"], judgements: Judgements, prefix: str) -> Rankings:
    """Return the rankings of the judged queries; log queries that only the run or only the judgements have."""
    rankings: dict[str, dict[str, float]] = defaultdict(dict)
    unjudged: dict[str, None] = {}
    for doc in run:
        if doc.query_id in judgements:
            rankings[doc.query_id][doc.doc_id] = doc.score
        else:
            unjudged[doc.query_id] = None
    if not rankings:
        raise InputError(
            f"{prefix}No query of the run is judged: the run has {_examples(unjudged) or 'no queries'}, the qrels have "
            f"{_examples(judgements) or 'no queries'}.",
            expected="a run and qrels of the same topics",
        )
    if unjudged:
        queries = counted(len(unjudged), "query", "queries")
        _log.warning("%sIgnored %s of the run without judgements: %s", prefix, queries, _examples(unjudged))
    if missing := [query_id for query_id in judgements if query_id not in rankings]:
        queries = counted(len(missing), "judged query", "judged queries")
        _log.warning("%sThe run lacks %s, counted as 0: %s", prefix, queries, _examples(missing))
    return dict(rankings)


def _examples(ids: Iterable[str]) -> str:
    """Return the first three ids, with an ellipsis if there are more."""
    first = list(islice(ids, 4))
    return ", ".join(first[:3]) + (", …" if len(first) > 3 else "")


def mismatch_warning(rankings: Rankings, judgements: Judgements) -> str:
    """Return a warning if the run seems to be of another collection than the judgements, else an empty text.

    It does if no ranking contains a judged document, or more than half of those with at least `DEEP` documents do not.
    """
    unjudged = [query_id for query_id, ranking in rankings.items() if ranking.keys().isdisjoint(judgements[query_id])]
    if not unjudged:
        return ""
    if len(unjudged) == len(rankings):
        finding = f"No document of the run is judged ({counted(len(rankings), 'judged query', 'judged queries')})."
    else:
        deep = {query_id for query_id, ranking in rankings.items() if len(ranking) >= DEEP}
        unjudged = [query_id for query_id in unjudged if query_id in deep]
        if 2 * len(unjudged) <= len(deep):
            return ""
        finding = (
            f"{len(unjudged):,} of {len(deep):,} rankings of at least {DEEP} documents contain no judged document."
        )
    query_id = unjudged[0]
    return (
        f"{finding} Are run and qrels of the same collection, with ids of the same form? "
        f"For query {query_id} the run has {_best_two(rankings[query_id])}, the qrels have "
        f"{', '.join(sorted(judgements[query_id])[:2])}."
    )


def _best_two(ranking: Mapping[str, float]) -> str:
    return ", ".join(sorted(ranking, key=lambda doc_id: -ranking[doc_id])[:2])
