"""Searches an impact index with Lucene's IndexSearcher; each query takes two calls to Java."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from splade_anserini.lucene.external_ids import ExternalIds
from splade_anserini.lucene.field_search import FieldExecutor
from splade_anserini.lucene.index_reader import allow_long_queries, open_reader
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK, JavaThreads
from splade_anserini.lucene.query_executor import QueryExecutor
from splade_anserini.lucene.ranking import Ranking, hits_to_fetch, rank, sorted_ranking
from splade_anserini.lucene.searcher import Closeable, check_no_missing
from splade_anserini.records import ImpactVector, StrPath

if TYPE_CHECKING:
    from ir_measures import ScoredDoc

_QUERIES_AHEAD = 2
"""Queries for each thread that are submitted to Java before the results of the first are read."""

_EMPTY = Ranking([], [], [])


class ImpactSearcher(Closeable):
    """A `Searcher` and `Scorer` over a Lucene impact index that this package or Anserini built.

    Several Python threads may share it; they take turns. Raises `InputError` when `index` is not a Lucene index.
    """

    def __init__(self, index: StrPath, threads: int = 1) -> None:
        self._index = index
        self.threads = threads
        """Threads of Java that search in parallel."""
        with JAVA_LOCK:
            self._reader = open_reader(index)
            self._searcher = _index_searcher(self._reader)
            self._ids = ExternalIds(self._reader.maxDoc())
        self._idle: list[QueryExecutor] = []

    @property
    def documents(self) -> int:
        """Number of documents in the index."""
        return self._ids.documents

    @property
    def lucene(self) -> Any:
        """Lucene's IndexSearcher, with Anserini's ImpactSimilarity."""
        return self._searcher

    def search(self, queries: Mapping[str, ImpactVector], hits: int) -> "Iterator[tuple[str, list[ScoredDoc]]]":
        """Yield each query's id and its best `hits` documents, as `Searcher.search` defines them."""
        from ir_measures import ScoredDoc

        for query_id, ranking in self.rankings(queries.items(), hits, self.threads):
            rows = zip(repeat(query_id), ranking.ids, ranking.scores)
            # The constructor of a named tuple would take as long as the search of a small index.
            yield query_id, list(map(tuple.__new__, repeat(ScoredDoc), rows))

    def rank(self, query: ImpactVector, hits: int) -> Ranking:
        """Return the best `hits` documents of one query."""
        ((_, ranking),) = self.rankings([("", query)], hits)
        return ranking

    def rank_fields(self, query: ImpactVector, hits: int, fields: Mapping[str, float]) -> Ranking:
        """Return the best `hits` documents of one query; `fields` gives the fields to search and their boosts."""
        if not query:
            return _EMPTY
        with self._locked():
            executor = FieldExecutor(self._reader, self._searcher, query, fields)
            executor.search_task(query, hits_to_fetch(hits, self.documents)).call()
            return rank(executor, query, hits, self._ids)

    def rankings(
        self, queries: Iterable[tuple[str, ImpactVector]], hits: int, threads: int = 1
    ) -> Iterator[tuple[str, Ranking]]:
        """Yield each query's id and its best `hits` documents, in the order of `queries`."""
        if threads == 1:
            for query_id, vector in queries:
                with self._locked():
                    ranking = self._finish(self._start(query_id, vector, hits, None), hits)
                yield query_id, ranking
            return
        with JavaThreads(threads) as pool:
            searches: deque[_Search] = deque()
            for query_id, vector in queries:
                with self._locked():
                    searches.append(self._start(query_id, vector, hits, pool))
                if len(searches) > _QUERIES_AHEAD * threads:
                    yield self._finish_oldest(searches, hits)
            while searches:
                yield self._finish_oldest(searches, hits)

    def scores(self, query: ImpactVector, ids: Sequence[str]) -> list[float]:
        """Return the score of each document, as in a search; 0 for one that shares no token with the query.

        For an id that the index contains more than once, the best score counts. Raises `InputError` when the index
        does not contain one of `ids`.
        """
        if not ids:
            return []
        with self._locked(), self._executor() as executor:
            docs = executor.find_docs(list(dict.fromkeys(ids)))
            unscored = Ranking(self._ids.of(docs, executor), [0.0] * len(docs), docs.tolist())
            scored = _scored(executor, query, unscored)
        best: dict[str, float] = {}
        for id_, score in zip(scored.ids, scored.scores, strict=True):
            best.setdefault(id_, score)
        check_no_missing([id_ for id_ in ids if id_ not in best], len(ids), f"the index {self._index}")
        return [best[id_] for id_ in ids]

    def rescored(self, query: ImpactVector, ranking: Ranking) -> Ranking:
        """Rank all documents of a ranking by their scores for `query`."""
        if not ranking.docs:
            return ranking
        with self._locked(), self._executor() as executor:
            return _scored(executor, query, ranking)

    def records(self, docs: Sequence[int]) -> list[str | None]:
        """Return the records that the index stores, by Lucene's document numbers; None where it stores none."""
        if not docs:
            return []
        with self._locked(), self._executor() as executor:
            return executor.records(docs)

    def close(self) -> None:
        """Close the index."""
        with JAVA_LOCK:
            self._reader.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with JAVA_LOCK, java_errors(f"searching {self._index}"):
            yield

    @contextmanager
    def _executor(self) -> Iterator[QueryExecutor]:
        """Yield an idle executor; it is reused unless the block fails."""
        executor = self._take_executor()
        yield executor
        self._idle.append(executor)

    def _take_executor(self) -> QueryExecutor:
        return self._idle.pop() if self._idle else QueryExecutor(self._reader, self._searcher)

    def _start(self, query_id: str, query: ImpactVector, hits: int, pool: JavaThreads | None) -> "_Search":
        """Search in Java, now or on one of the threads of `pool`; an empty query is not searched for."""
        if not query:
            return _Search(query_id, query, None, None)
        executor = self._take_executor()
        task = executor.search_task(query, hits_to_fetch(hits, self.documents))
        return _Search(query_id, query, executor, pool.start(task) if pool else task.call())

    def _finish(self, search: "_Search", hits: int) -> Ranking:
        if search.executor is None:
            return _EMPTY
        if search.future is not None:
            search.future.get()
        ranking = rank(search.executor, search.query, hits, self._ids)
        self._idle.append(search.executor)
        return ranking

    def _finish_oldest(self, searches: "deque[_Search]", hits: int) -> tuple[str, Ranking]:
        search = searches.popleft()
        with self._locked():
            return search.query_id, self._finish(search, hits)


class _Search(NamedTuple):
    """A query that was started."""

    query_id: str
    query: ImpactVector
    executor: QueryExecutor | None
    future: Any


def _scored(executor: QueryExecutor, query: ImpactVector, ranking: Ranking) -> Ranking:
    """Return the documents of a ranking with their scores for `query`, sorted by these."""
    if not query or not ranking.docs:
        return sorted_ranking(ranking.ids, [0.0] * len(ranking.ids), ranking.docs)
    executor.score_task(query, ranking.docs).call()
    docs, scores = executor.hits()
    ids = dict(zip(ranking.docs, ranking.ids, strict=True))
    doc_list = docs.tolist()
    return sorted_ranking([ids[doc] for doc in doc_list], scores.tolist(), doc_list)


def _index_searcher(reader: Any) -> Any:
    from jnius import autoclass

    allow_long_queries()
    index_searcher = autoclass("org.apache.lucene.search.IndexSearcher")
    searcher = index_searcher(reader, signature="(Lorg/apache/lucene/index/IndexReader;)V")
    searcher.setSimilarity(autoclass("io.anserini.search.similarity.ImpactSimilarity")())
    return searcher
