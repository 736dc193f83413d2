"""Searches several fields of an index, each with a boost."""

from collections.abc import Mapping
from typing import Any

from splade_anserini.lucene.java.method_handles import constant
from splade_anserini.lucene.query_executor import QueryExecutor
from splade_anserini.records import ImpactVector

_SEARCH = "org.apache.lucene.search"


class FieldExecutor(QueryExecutor):
    """Scores documents by the sum over the fields of boost · the dot product with the impacts in this field.

    It searches for one query, whatever its tasks are asked for. The query is built token by token, which takes longer
    than the one call of a `QueryExecutor`.
    """

    def __init__(self, reader: Any, searcher: Any, query: ImpactVector, fields: Mapping[str, float]) -> None:
        super().__init__(reader, searcher)
        self._boosted = _boosted(query, fields)

    def _compose_query(self) -> Any:
        # boosted
        return constant(f"{_SEARCH}.Query", self._boosted)


def _boosted(query: ImpactVector, fields: Mapping[str, float]) -> Any:
    """Return Lucene's query for all tokens in all fields."""
    from jnius import autoclass

    boost_query, term_query = autoclass(f"{_SEARCH}.BoostQuery"), autoclass(f"{_SEARCH}.TermQuery")
    should, term = autoclass(f"{_SEARCH}.BooleanClause$Occur").SHOULD, autoclass("org.apache.lucene.index.Term")
    builder = autoclass(f"{_SEARCH}.BooleanQuery$Builder")()
    for field, boost in fields.items():
        for token, weight in query.items():
            lucene_query = term_query(term(field, token), signature="(Lorg/apache/lucene/index/Term;)V")
            builder.add(boost_query(lucene_query, float(boost) * weight), should)
    return builder.build()
