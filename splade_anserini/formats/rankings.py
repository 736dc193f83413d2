"""Access to runs that are read: several of them query by query, or one by ids of query and document."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import orjson

from splade_anserini.formats.runs import read_rankings
from splade_anserini.formats.texts import SpooledTexts
from splade_anserini.records import StrPath

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

type Rankings = Iterable[tuple[str, Sequence["ScoredDoc"]]]
"""The id and ranking of each query; no query occurs twice."""


def zip_rankings(runs: "Sequence[Rankings]") -> "Iterator[tuple[str, list[Sequence[ScoredDoc]]]]":
    """Yield each query of any run with its rankings, one for each run: an empty one where a run lacks the query.

    Queries come in the order of the first run, followed by those of later runs that it lacks. While the runs have the
    same queries in the same order, one query at a time is in memory; rankings that are read early are kept.
    """
    readers = [_Reader(run) for run in runs]
    for run_index, reader in enumerate(readers):
        for query_id, ranking in reader.remaining():
            missing: list[Sequence[ScoredDoc]] = [()] * run_index
            yield query_id, [*missing, ranking, *(later.take(query_id) for later in readers[run_index + 1 :])]


class _Reader:
    """A run, and the rankings of it that were read before they were asked for."""

    def __init__(self, rankings: Rankings) -> None:
        self._rankings = iter(rankings)
        self._read_early: dict[str, Sequence[ScoredDoc]] = {}

    def take(self, query_id: str) -> "Sequence[ScoredDoc]":
        """Return the ranking of a query, reading up to it, or an empty one."""
        if query_id in self._read_early:
            return self._read_early.pop(query_id)
        for other_id, ranking in self._rankings:
            if other_id == query_id:
                return ranking
            self._read_early[other_id] = ranking
        return ()

    def remaining(self) -> "Iterator[tuple[str, Sequence[ScoredDoc]]]":
        """Yield the queries that were not taken."""
        while self._read_early:
            query_id = next(iter(self._read_early))
            yield query_id, self._read_early.pop(query_id)
        yield from self._rankings


class RunScores:
    """The scores of a run by ids of query and document, on disk; the run need not be sorted by score.

    Raises `InputError` and `RecordError` like `read_rankings`.
    """

    def __init__(self, path: StrPath) -> None:
        rankings = (
            (query_id, orjson.dumps({doc.doc_id: doc.score for doc in ranking}).decode())
            for query_id, ranking in read_rankings(path)
        )
        self._rankings = SpooledTexts("query", os.fspath(path), rankings)

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """Return the score of each pair of query id and document id, None for a pair that is not in the run."""
        scores = {query_id: self._scores(query_id) for query_id, _ in pairs}
        return [scores[query_id].get(doc_id) for query_id, doc_id in pairs]

    def _scores(self, query_id: str) -> dict[str, float]:
        if self._rankings.problem_with(query_id):
            return {}
        scores: dict[str, float] = orjson.loads(self._rankings[query_id])
        return scores
