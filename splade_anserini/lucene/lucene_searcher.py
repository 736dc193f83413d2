"""Searches a Lucene index with Lucene's IndexSearcher; each query, or batch of queries, takes few calls to Java."""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple, Self

from splade_anserini.artifacts.sharded_index import fingerprint_of_index
from splade_anserini.lucene.external_ids import ExternalIds
from splade_anserini.lucene.filters import Filters, filter_query
from splade_anserini.lucene.index_reader import allow_long_queries, index_searcher, open_reader
from splade_anserini.lucene.java.abandoned import close_abandoned, close_when_freed
from splade_anserini.lucene.java.forks import has_own_java
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK, JavaThreads
from splade_anserini.lucene.query_executor import Hits, QueryExecutor, SearchQuery
from splade_anserini.lucene.ranking import Ranking, hits_to_fetch, rank
from splade_anserini.lucene.searcher import Closeable, check_no_missing
from splade_anserini.lucene.stored_documents import document_of_record
from splade_anserini.records import JsonDocument, StrPath

_QUERIES_AHEAD = 2
"""Queries for each thread that are submitted to Java before the results of the first are read."""

EMPTY = Ranking([], [], [])
"""The ranking of an empty query."""


class LuceneSearcher[Q: SearchQuery](Closeable):
    """Searches for queries of the type `Q`. Several Python threads may share it; they take turns.

    One that is not closed is closed after it is freed. Raises `InputError` when `index` is not a Lucene index,
    `IntegrityError` when it is damaged.
    """

    def __init__(self, index: StrPath, threads: int = 1) -> None:
        self._index = index
        self.threads = threads
        """Threads of Java that search in parallel."""
        self._filter: Any = None
        """Lucene's query that hits have to match, too."""
        self._owner: Self | None = None
        """The searcher of which this is a view."""
        self._open()

    def _open(self) -> None:
        self._commit = fingerprint_of_index(Path(self._index))
        with JAVA_LOCK:
            self._reader = open_reader(self._index)
            close_when_freed(self, self._reader)
            self._searcher = _index_searcher(self._reader, self._similarity())
            self._ids = ExternalIds(self._reader.maxDoc())
        self._idle: list[QueryExecutor] = []

    def reopened(self) -> Self:
        """Return a searcher of what the index holds now: this one if nothing was written since it was opened.

        Otherwise it is another one, and this one keeps its view until it is closed. Finding out takes microseconds,
        as one small file is read.
        """
        if fingerprint_of_index(Path(self._index)) == self._commit:
            return self
        other = copy(self)
        other._open()  # noqa: SLF001  # of the same class
        return other

    def filtered(self, filters: Filters) -> Self:
        """Return a view of this searcher that finds only documents which fulfil `filters`, such as "year>=1990".

        A document must match all filters; without any, it is this searcher itself. Scores, and the statistics of the
        collection, are the same. The fields are those of `index --filter-fields`. Closing the view closes this
        searcher. Raises `InputError` for a field that
        the index does not have for filters, and for a value of another type.
        """
        if not filters:
            return self
        view = copy(self)
        with self._locked():
            view._restrict(self, filter_query(self._index, filters))  # noqa: SLF001  # of the same class
        return view

    def _restrict(self, owner: Self, query: Any) -> None:
        self._owner, self._filter = owner, query

    def known(self, ids: Sequence[str]) -> list[str]:
        """Return those of the ids that documents of the index have, each once, in no particular order."""
        if not ids or not self.documents:
            return []
        with self._locked(), self._executor() as executor:
            docs = executor.find_docs(list(dict.fromkeys(ids)))
            return list(dict.fromkeys(self._ids.of(docs, executor)))

    @property
    def directory(self) -> StrPath:
        """The directory of the index."""
        return self._index

    @property
    def documents(self) -> int:
        """Number of documents in the index."""
        return self._ids.documents

    @property
    def lucene(self) -> Any:
        """Lucene's IndexSearcher, with the similarity of this searcher."""
        return self._searcher

    def rankings(self, queries: Iterable[tuple[str, Q]], hits: int, threads: int = 1) -> Iterator[tuple[str, Ranking]]:
        """Yield each query's id and its best `hits` documents, in the order of `queries`."""
        if threads == 1:
            for query_id, vector in queries:
                with self._locked():
                    ranking = self._finish(self._start(query_id, vector, hits, None), hits)
                yield query_id, ranking
            return
        with JavaThreads(threads) as pool:
            searches: deque[_Search[Q]] = deque()
            for query_id, vector in queries:
                with self._locked():
                    searches.append(self._start(query_id, vector, hits, pool))
                if len(searches) > _QUERIES_AHEAD * threads:
                    yield self._finish_oldest(searches, hits)
            while searches:
                yield self._finish_oldest(searches, hits)

    def rank_all(self, queries: Sequence[Q], hits: int) -> list[Ranking]:
        """Return the best `hits` documents of each query; all are searched for in one call to Java, on one thread."""
        searched = [query for query in queries if query and self.documents]
        if not searched:
            return [EMPTY] * len(queries)
        with self._locked(), self._executor() as executor:
            executor.set_filter(self._filter)
            batch = executor.search_all(searched, self._depth(hits))
            rankings = iter([self._rank(executor, *pair, hits) for pair in zip(searched, batch, strict=True)])
        return [next(rankings) if query and self.documents else EMPTY for query in queries]

    def records(self, docs: Sequence[int]) -> list[str | None]:
        """Return the records that the index stores, by Lucene's document numbers; None where it stores none."""
        return [None if record is None else record.decode() for record in self.record_bytes(docs)]

    def record_bytes(self, docs: Sequence[int]) -> list[bytes | None]:
        """Return what `records` returns, in UTF-8, as the index has it."""
        if not docs:
            return []
        with self._locked(), self._executor() as executor:
            return executor.records(docs)

    def document(self, doc_id: str) -> JsonDocument | None:
        """Return the document with this id, as the index stores it; None when the index stores no documents.

        Raises `InputError` when there is no document with this id.
        """
        return self.documents_of([doc_id])[0]

    def documents_of(self, ids: Sequence[str]) -> list[JsonDocument | None]:
        """Return the documents with these ids, in their order, as the index stores them; None where it stores none.

        Raises `InputError` when there is no document with one of the ids.
        """
        numbers = self.docs_of(ids)
        check_no_missing([id_ for id_ in ids if id_ not in numbers], len(ids), f"the index {self._index}")
        return self.stored(ids, [numbers[id_] for id_ in ids])

    def stored(self, ids: Sequence[str], docs: Sequence[int]) -> list[JsonDocument | None]:
        """Return documents of a ranking, given by their ids and by Lucene's document numbers, as `documents_of`."""
        return list(map(document_of_record, ids, self.record_bytes(docs)))

    def docs_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Return Lucene's document numbers of the documents with these ids; those that the index lacks are left out."""
        if not ids:
            return {}
        with self._locked(), self._executor() as executor:
            docs = executor.find_docs(list(dict.fromkeys(ids)))
            return dict(zip(self._ids.of(docs, executor), docs.tolist(), strict=True))

    def close(self) -> None:
        """Close the index; in a forked process, where Java does not run, nothing is open."""
        if has_own_java():
            with JAVA_LOCK:
                self._reader.close()
        close_abandoned()

    @abstractmethod
    def _similarity(self) -> Any:
        """Return Lucene's similarity, which scores documents."""

    @abstractmethod
    def _new_executor(self) -> QueryExecutor:
        """Return an executor of queries, for one thread at a time."""

    def _depth(self, hits: int) -> int:
        """Return how many hits are searched for, so that the best `hits` can be ranked."""
        return hits_to_fetch(hits, self.documents)

    def _rank(self, executor: QueryExecutor, query: Q, found: Hits, hits: int) -> Ranking:
        """Return the best `hits` documents of a search that `executor` has run."""
        return rank(executor, query, found, hits, self._ids)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with JAVA_LOCK, java_errors(f"searching {self._index}"):
            close_abandoned()
            yield

    @contextmanager
    def _executor(self) -> Iterator[QueryExecutor]:
        """Yield an idle executor; it is reused unless the block fails."""
        executor = self._take_executor()
        yield executor
        self._idle.append(executor)

    def _take_executor(self) -> QueryExecutor:
        return self._idle.pop() if self._idle else self._new_executor()

    def _start(self, query_id: str, query: Q, hits: int, pool: JavaThreads | None) -> "_Search[Q]":
        """Search in Java, now or on one of the threads of `pool`; with an empty query or index, nothing is searched."""
        if not query or not self.documents:
            return _Search(query_id, query, None, None)
        executor = self._take_executor()
        executor.set_filter(self._filter)
        task = executor.search_task(query, self._depth(hits))
        return _Search(query_id, query, executor, pool.start(task) if pool else task.call())

    def _finish(self, search: "_Search[Q]", hits: int) -> Ranking:
        if search.executor is None:
            return EMPTY
        if search.future is not None:
            search.future.get()
        ranking = self._rank(search.executor, search.query, search.executor.hits(), hits)
        self._idle.append(search.executor)
        return ranking

    def _finish_oldest(self, searches: "deque[_Search[Q]]", hits: int) -> tuple[str, Ranking]:
        search = searches.popleft()
        with self._locked():
            return search.query_id, self._finish(search, hits)


class _Search[Q](NamedTuple):
    """A query that was started."""

    query_id: str
    query: Q
    executor: QueryExecutor | None
    future: Any


def _index_searcher(reader: Any, similarity: Any) -> Any:
    allow_long_queries()
    searcher = index_searcher(reader)
    searcher.setSimilarity(similarity)
    return searcher
