"""Searches several fields of an index, each with a boost."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from splade_anserini.lucene.query_executor import Hits, QueryExecutor
from splade_anserini.records import ImpactVector

_SEARCH = "org.apache.lucene.search"


class FieldExecutor(QueryExecutor):
    """Scores documents by the sum over the fields of boost · the dot product with the impacts in this field.

    The query is built token by token, which takes longer than the one call of a `QueryExecutor`.
    """

    def __init__(self, reader: Any, searcher: Any, fields: Mapping[str, float]) -> None:
        super().__init__(reader, searcher)
        self._fields = fields
        self._hits = Hits(np.empty(0, np.int32), np.empty(0, np.float32))

    def search_task(self, query: ImpactVector, hits: int) -> Any:
        """Return an object whose `call` searches for the best `hits` documents."""
        return _FieldSearch(self, query, hits)

    def hits(self) -> Hits:
        """Return the result of the task that was called last."""
        return self._hits

    def run(self, query: ImpactVector, hits: int) -> None:
        """Search now."""
        score_docs = self._searcher.search(self._boosted(query), hits).scoreDocs
        self._hits = Hits(
            np.array([hit.doc for hit in score_docs], np.int32), np.array([hit.score for hit in score_docs], np.float32)
        )

    def _boosted(self, query: ImpactVector) -> Any:
        from jnius import autoclass

        boost_query, term_query = autoclass(f"{_SEARCH}.BoostQuery"), autoclass(f"{_SEARCH}.TermQuery")
        should, term = autoclass(f"{_SEARCH}.BooleanClause$Occur").SHOULD, autoclass("org.apache.lucene.index.Term")
        builder = autoclass(f"{_SEARCH}.BooleanQuery$Builder")()
        for field, boost in self._fields.items():
            for token, weight in query.items():
                lucene_query = term_query(term(field, token), signature="(Lorg/apache/lucene/index/Term;)V")
                builder.add(boost_query(lucene_query, float(boost) * weight), should)
        return builder.build()


class _FieldSearch:
    def __init__(self, executor: FieldExecutor, query: ImpactVector, hits: int) -> None:
        self._executor, self._query, self._hits = executor, query, hits

    def call(self) -> None:
        self._executor.run(self._query, self._hits)
