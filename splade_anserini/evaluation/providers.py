"""Values of measures from the providers of ir_measures: all rank alike, and no judgement ends the process.

ir_measures asks several programs, which break ties differently. They get rankings without ties, in the order of
trec_eval 9.0.4. trec_eval, which runs in this process, gets only judgements that it can compute with
(docs/decisions/0032-judgements-that-end-trec-eval.md).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import TYPE_CHECKING

import numpy as np

from splade_anserini.errors import InputError

if TYPE_CHECKING:
    from ir_measures import Measure, Qrel

type Rankings = Mapping[str, Mapping[str, float]]
"""Query id → document id → score."""
type Judgements = Mapping[str, Sequence["Qrel"]]
"""Query id → its judgements."""


def strict_ranking(query_id: str, scores: Mapping[str, float]) -> tuple[dict[str, float], bool]:
    """Return a ranking best first, with the scores n, n − 1, …, 1, and whether scores were tied.

    The order is that of trec_eval 9.0.4: descending scores as float32, and equal scores by descending document id.
    Raises `InputError` for a score that float32 cannot hold.
    """
    ids = list(scores)
    with np.errstate(over="ignore"):
        values = np.fromiter(scores.values(), np.float64, len(ids)).astype(np.float32)
    if not np.isfinite(values).all():
        doc_id = ids[int(np.argmin(np.isfinite(values)))]
        raise InputError(
            f"The score of document {doc_id!r} for query {query_id!r} is {scores[doc_id]}.",
            expected="a finite number that float32 can hold, as trec_eval reads it",
        )
    tied = False
    if not (values[1:] < values[:-1]).all():
        by_id = np.asarray(sorted(range(len(ids)), key=ids.__getitem__, reverse=True))
        order = by_id[np.argsort(-values[by_id], kind="stable")]
        tied = bool((values[order][1:] == values[order][:-1]).any())
        ids = [ids[index] for index in order.tolist()]
    return dict(zip(ids, map(float, range(len(ids), 0, -1)), strict=True)), tied


def measure_queries(
    rankings: Rankings, qrels: Iterable["Qrel"], measures: Sequence["Measure"]
) -> dict[str, dict[str, float]]:
    """Return the values of each judged query by the names of the measures, in the order of the judgements.

    `rankings` must be those of `strict_ranking`; a query without one has each measure's default, and counts in those
    that count queries and relevant documents, as in `trec_eval -c`. Raises whatever the providers raise.
    """
    import ir_measures

    judgements: dict[str, list[Qrel]] = defaultdict(list)
    for qrel in qrels:
        judgements[qrel.query_id].append(qrel)
    names = {measure: str(measure) for measure in measures}
    values = {
        query_id: {names[measure]: _without_ranking(measure, judged) for measure in measures}
        for query_id, judged in judgements.items()
    }
    for group, judged in _calls(measures, judgements, rankings):
        for metric in ir_measures.iter_calc(group, judged, rankings) if group and judged else ():
            # ir_measures gives queries without a ranking the default of each measure.
            if rankings.get(metric.query_id):
                values[metric.query_id][names[metric.measure]] = float(metric.value)
    return values


def _without_ranking(measure: "Measure", judged: "Sequence[Qrel]") -> float:
    """Return the value of a query that the run does not have."""
    if measure.NAME == "NumQ":
        return 1.0
    if measure.NAME == "NumRel":
        return float(sum(qrel.relevance >= measure["rel"] for qrel in judged))
    return float(measure.DEFAULT)


def aggregate(values: Mapping[str, Mapping[str, float]], measures: Iterable["Measure"]) -> dict[str, float]:
    """Return the aggregate of each measure over all queries by its name: the mean, or the sum if it counts."""
    aggregates = {}
    for measure in measures:
        name, aggregator = str(measure), measure.aggregator()
        for query_values in values.values():
            aggregator.add(query_values[name])
        aggregates[name] = float(aggregator.result())
    return aggregates


def _calls(
    measures: Iterable["Measure"], judgements: Judgements, rankings: Rankings
) -> "Iterator[tuple[list[Measure], list[Qrel]]]":
    """Yield measures that are computed together, with judgements that trec_eval can compute them with."""
    together = []
    for measure in measures:
        if measure.NAME == "Bpref":
            # It reads the counts of all grades below `rel`, also beyond the greatest grade of a query.
            yield [measure], _judged_at(measure["rel"], judgements, {})
        elif measure.NAME == "nDCG" and isinstance(measure["gains"], dict):
            # Computed together, ir_measures would use these gains for other nDCGs too.
            yield [measure], _judged_at(0, judgements, measure["gains"])
        else:
            together.append(measure)
    yield together, [*chain.from_iterable(judgements.values()), *_padding(judgements, rankings)]


def _judged_at(least: int, judgements: Judgements, gains: Mapping[int, int]) -> "list[Qrel]":
    """Return the judgements of the queries that have one of at least this grade; in others, the value is 0."""
    kept = (
        qrels
        for qrels in judgements.values()
        if max(gains.get(qrel.relevance, qrel.relevance) for qrel in qrels) >= least
    )
    return [*chain.from_iterable(kept)]


def _padding(judgements: Judgements, rankings: Rankings) -> "Iterator[Qrel]":
    """Yield a judgement for each query that has only grades below 0: a document that it does not rank gets a 0.

    It changes no value: no document is relevant, and measures of what is judged look at the ranking only.
    """
    from ir_measures import Qrel

    for query_id, qrels in judgements.items():
        if max(qrel.relevance for qrel in qrels) < 0:
            taken = {qrel.doc_id for qrel in qrels} | rankings.get(query_id, {}).keys()
            yield Qrel(query_id, next(doc_id for doc_id in map(str, count()) if doc_id not in taken), 0)
