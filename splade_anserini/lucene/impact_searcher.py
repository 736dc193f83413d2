"""Searches an impact index through Lucene's IndexSearcher, and hands the hits over whole."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from splade_anserini.lucene.counting import open_reader
from splade_anserini.lucene.external_ids import ExternalIds
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK, JavaThreads
from splade_anserini.lucene.query_executor import Lane
from splade_anserini.lucene.ranking import Ranking, asked_for, rank, sorted_ranking
from splade_anserini.lucene.searcher import Closeable, refuse_missing
from splade_anserini.records import ImpactVector

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_AHEAD = 2
"""Queries for each thread that Java has or will find when it is done with them."""

_NOTHING = Ranking([], [], [])


class ImpactSearcher(Closeable):
    """A `Searcher` over a Lucene impact index, one that we or Anserini built. Threads may share it; they take turns.

    Raises `InputError` when `index` is no Lucene index.
    """

    def __init__(self, index: Path, threads: int = 1) -> None:
        self._index = index
        self.threads = threads
        """Java's, that search at the same time."""
        with JAVA_LOCK:
            self._reader = open_reader(index)
            self._searcher = _index_searcher(self._reader)
            self._ids = ExternalIds(self._reader.maxDoc())
        self._idle: list[Lane] = []

    @property
    def documents(self) -> int:
        """How many documents the index holds."""
        return self._ids.documents

    @property
    def lucene(self) -> Any:
        """Lucene's IndexSearcher, with Anserini's ImpactSimilarity."""
        return self._searcher

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Search, on as many threads of Java as the searcher has."""
        from ir_measures import ScoredDoc

        for query_id, ranking in self.rankings(queries.items(), hits, self.threads):
            rows = zip(repeat(query_id), ranking.ids, ranking.scores)
            # A named tuple's own constructor would take as long as the search of a small index.
            yield query_id, list(map(tuple.__new__, repeat(ScoredDoc), rows))

    def rank(self, query: ImpactVector, hits: int) -> Ranking:
        """Return the best `hits` documents of one query."""
        ((_, ranking),) = self.rankings([("", query)], hits)
        return ranking

    def rankings(
        self, queries: Iterable[tuple[str, ImpactVector]], hits: int, threads: int = 1
    ) -> Iterator[tuple[str, Ranking]]:
        """Yield each query's id and its best `hits` documents, in the order of `queries`."""
        if threads == 1:
            for query_id, vector in queries:
                with self._turn():
                    ranking = self._finished(self._begun(query_id, vector, hits, None), hits)
                yield query_id, ranking
            return
        with JavaThreads(threads) as pool:
            searches: deque[_Search] = deque()
            for query_id, vector in queries:
                with self._turn():
                    searches.append(self._begun(query_id, vector, hits, pool))
                if len(searches) > _AHEAD * threads:
                    yield self._next(searches, hits)
            while searches:
                yield self._next(searches, hits)

    def scores(self, query: ImpactVector, ids: Sequence[str]) -> list[float]:
        """Return the score of each document, as a search gives it; 0 for one that shares no token with the query.

        Of an id that the index holds several times, the best. Raises `InputError` when it does not hold one of `ids`.
        """
        if not ids:
            return []
        with self._turn(), self._lane() as lane:
            docs = lane.find(list(dict.fromkeys(ids)))
            found = Ranking(self._ids.of(docs, lane), [0.0] * len(docs), docs.tolist())
            scored = _scored(lane, query, found)
        best: dict[str, float] = {}
        for id_, score in zip(scored.ids, scored.scores, strict=True):
            best.setdefault(id_, score)
        refuse_missing([id_ for id_ in ids if id_ not in best], len(ids), f"the index {self._index}")
        return [best[id_] for id_ in ids]

    def rescored(self, query: ImpactVector, ranking: Ranking) -> Ranking:
        """Rank the documents of a ranking by their scores for `query`, all of them."""
        if not ranking.docs:
            return ranking
        with self._turn(), self._lane() as lane:
            return _scored(lane, query, ranking)

    def close(self) -> None:
        """Close the index."""
        with JAVA_LOCK:
            self._reader.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with JAVA_LOCK, java_errors(f"searching {self._index}"):
            yield

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        """Lend a lane that nobody uses."""
        lane = self._idle.pop() if self._idle else Lane(self._reader, self._searcher)
        yield lane
        # One that failed is not used again.
        self._idle.append(lane)

    def _next(self, searches: "deque[_Search]", hits: int) -> tuple[str, Ranking]:
        search = searches.popleft()
        with self._turn():
            return search.query_id, self._finished(search, hits)

    def _begun(self, query_id: str, query: ImpactVector, hits: int, pool: JavaThreads | None) -> "_Search":
        """Let Java search, now or on one of the threads of `pool`; it is not asked for an empty query."""
        if not query:
            return _Search(query_id, query, None, None)
        lane = self._idle.pop() if self._idle else Lane(self._reader, self._searcher)
        task = lane.ask(query, asked_for(hits, self.documents))
        return _Search(query_id, query, lane, pool.start(task) if pool else task.call())

    def _finished(self, search: "_Search", hits: int) -> Ranking:
        if search.lane is None:
            return _NOTHING
        if search.future is not None:
            search.future.get()
        ranking = rank(search.lane, search.query, hits, self._ids)
        self._idle.append(search.lane)
        return ranking


class _Search(NamedTuple):
    """A query that is under way."""

    query_id: str
    query: ImpactVector
    lane: Lane | None
    future: Any


def _scored(lane: Lane, query: ImpactVector, ranking: Ranking) -> Ranking:
    """Give the documents of a ranking their scores for `query`, and order them by these."""
    if not query or not ranking.docs:
        return sorted_ranking(ranking.ids, [0.0] * len(ranking.ids), ranking.docs)
    lane.ask_about(query, ranking.docs).call()
    docs, scores = lane.answer()
    ids = dict(zip(ranking.docs, ranking.ids, strict=True))
    numbers = docs.tolist()
    return sorted_ranking([ids[number] for number in numbers], scores.tolist(), numbers)


def _index_searcher(reader: Any) -> Any:
    from jnius import autoclass

    kind = autoclass("org.apache.lucene.search.IndexSearcher")
    # By default, a query of more than 1,024 terms is refused.
    kind.setMaxClauseCount(2**31 - 1)
    searcher = kind(reader, signature="(Lorg/apache/lucene/index/IndexReader;)V")
    searcher.setSimilarity(autoclass("io.anserini.search.similarity.ImpactSimilarity")())
    return searcher
