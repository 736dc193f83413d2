"""A run as a table: the score of a document for a query, from disk."""

from collections.abc import Sequence
from pathlib import Path

import orjson

from splade_anserini.formats.runs import read_rankings
from splade_anserini.formats.texts import SpooledTexts


class RunScores:
    """The scores of a run, looked up by ids of query and document; the run need not be sorted by score.

    Raises `RecordError` where `read_rankings` does.
    """

    def __init__(self, path: Path) -> None:
        rankings = (
            (query_id, orjson.dumps({doc.doc_id: doc.score for doc in ranking}).decode())
            for query_id, ranking in read_rankings(path)
        )
        self._rankings = SpooledTexts("query", str(path), rankings)

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """Return the score of each pair of ids, None for one that is not in the run."""
        queries = {query_id: self._scores(query_id) for query_id, _ in pairs}
        return [queries[query_id].get(document) for query_id, document in pairs]

    def _scores(self, query_id: str) -> dict[str, float]:
        if self._rankings.missing(query_id):
            return {}
        scores: dict[str, float] = orjson.loads(self._rankings[query_id])
        return scores
