"""Whether a run and judgements seem to be of one collection."""

from collections.abc import Mapping, Set

type Judgements = Mapping[str, Set[str]]
"""Query → documents that are judged, relevant or not."""
type Rankings = Mapping[str, Mapping[str, float]]
"""Query → document → score."""

DEEP = 100
"""From so many documents on, a ranking in which none is judged says something.

With one judgement a query, as MS MARCO has, a sound run often misses it among the first ten: BM25 for six queries of
ten, but for one of three among the first hundred.
"""


def mismatch_warning(rankings: Rankings, judgements: Judgements) -> str:
    """Say why the run seems to be of another collection than the judgements; "" when nothing hints at it.

    That is when no ranking at all has a judged document, or more than half of those with `DEEP` documents have none.
    """
    without = [query_id for query_id, ranking in rankings.items() if ranking.keys().isdisjoint(judgements[query_id])]
    if not without:
        return ""
    if len(without) == len(rankings):
        found = f"No document of the run is judged (judged queries that it answers: {len(rankings)})"
    else:
        deep = {query_id for query_id, ranking in rankings.items() if len(ranking) >= DEEP}
        without = [query_id for query_id in without if query_id in deep]
        if 2 * len(without) <= len(deep):
            return ""
        found = f"In {len(without)} of {len(deep)} rankings of {DEEP} documents and more, no document is judged"
    query_id = without[0]
    return (
        f"{found}: another collection, or ids of another form? "
        f"For query {query_id} the run has {_two(rankings[query_id])}, the qrels have {_two(judgements[query_id])}."
    )


def _two(ids: Mapping[str, float] | Set[str]) -> str:
    """Name the best two of a ranking, or the first two of a set."""
    ordered = sorted(ids, key=lambda id_: -ids[id_]) if isinstance(ids, Mapping) else sorted(ids)
    return ", ".join(ordered[:2])
