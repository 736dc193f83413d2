"""The values of measures for one run."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError, counted
from splade_anserini.evaluation.providers import Rankings, aggregate, measure_queries, strict_ranking

if TYPE_CHECKING:
    import pandas as pd
    from ir_measures import Measure, Qrel, ScoredDoc

type Judgements = Mapping[str, Set[str]]
"""Query id → ids of its judged documents, relevant or not."""

DEEP = 100
"""Number of documents from which on a ranking should contain a judged one.

With one judgement for each query, as in MS MARCO, a sound ranking often misses it near the top: BM25 does for six of
ten queries among the first 10 documents, but for one of three among the first 100.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
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
    collections: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """If several collections were evaluated, the aggregates of each, of which `aggregate` is the mean."""

    def __repr__(self) -> str:
        values = ", ".join(f"{measure} {value:.4f}" for measure, value in self.aggregate.items())
        return f"<Evaluation of {counted(len(self.per_query), 'query', 'queries')}: {values}>"

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each judged query. Raises `DependencyError` when pandas is not installed."""
        from splade_anserini.artifacts.data_frames import data_frame

        rows = [[query_id, *values.values()] for query_id, values in self.per_query.items()]
        return data_frame(["query", *self.aggregate], rows)

    def _repr_html_(self) -> str:
        from splade_anserini.artifacts.html import HtmlColumn, html_fragment, html_table

        columns = [HtmlColumn("collection" if self.collections else "queries", is_text=True)]
        columns += [HtmlColumn(measure) for measure in self.aggregate]
        rows = [(name, *(f"{values[m]:.4f}" for m in self.aggregate)) for name, values in self.collections.items()]
        name = "mean" if self.collections else f"{len(self.per_query):,}"
        rows.append((name, *(f"{value:.4f}" for value in self.aggregate.values())))
        return html_fragment(html_table(columns, rows), "Evaluation")


def evaluate(
    run: Iterable["ScoredDoc"], qrels: Sequence["Qrel"], measures: Sequence["Measure"], *, label: str = ""
) -> Evaluation:
    """Compute measures over all judged queries; queries without judgements are ignored.

    All measures see the same rankings: those of trec_eval 9.0.4, see `strict_ranking`. Logs warnings, which begin with
    `label`, when scores are tied, and when run and judgements have different queries or seem to be of different
    collections. Raises `InputError` when no query of the run is judged, or a measure cannot be computed.
    """
    prefix = f"{label}: " if label else ""
    judgements: dict[str, set[str]] = defaultdict(set)
    for qrel in qrels:
        judgements[qrel.query_id].add(qrel.doc_id)
    rankings = _judged_rankings(run, judgements, prefix)
    if warning := mismatch_warning(rankings, judgements):
        _log.warning("%s%s", prefix, warning)
    try:
        per_query = measure_queries(rankings, qrels, measures)
    except Exception as error:
        # Measures are computed by various programs: gdeval, a Perl script, needs numbers as query ids.
        raise InputError(
            f"{prefix}{', '.join(map(str, measures))} cannot be computed: {error}",
            do="Leave out one measure after the other to find out which one fails.",
        ) from error
    return Evaluation(
        aggregate(per_query, measures),
        per_query,
        tuple(query_id for query_id in judgements if query_id not in rankings),
        max(map(len, rankings.values())),
    )


def combine(evaluations: Mapping[str, Evaluation], measures: Sequence["Measure"]) -> Evaluation:
    """Return the evaluations of several collections as one: each counts the same, whatever its number of queries.

    The ids of queries begin with the name of their collection: `android/12`.
    """
    collections = {name: evaluation.aggregate for name, evaluation in evaluations.items()}
    return Evaluation(
        aggregate(collections, measures),
        {f"{name}/{id_}": values for name, part in evaluations.items() for id_, values in part.per_query.items()},
        tuple(f"{name}/{id_}" for name, part in evaluations.items() for id_ in part.missing),
        max(part.depth for part in evaluations.values()),
        collections,
    )


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
    return _strict_rankings(rankings, prefix)


def _strict_rankings(rankings: Rankings, prefix: str) -> Rankings:
    """Return the rankings of trec_eval; log how many have ties."""
    ranked, tied = {}, []
    for query_id, scores in rankings.items():
        ranked[query_id], has_ties = strict_ranking(query_id, scores)
        if has_ties:
            tied.append(query_id)
    if tied:
        _log.warning(
            "%sScores are tied in the rankings of %s: %s. Tied documents are ranked by descending id, as trec_eval "
            "does, not by their order in the file.",
            prefix,
            counted(len(tied), "query", "queries"),
            _examples(tied),
        )
    return ranked


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
        f"For query {query_id} the run has {', '.join(islice(rankings[query_id], 2))}, the qrels have "
        f"{', '.join(sorted(judgements[query_id])[:2])}."
    )
