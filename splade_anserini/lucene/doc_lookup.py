"""Finds documents by their ids, and scores given documents for a query without a search."""

from collections.abc import Sequence
from typing import Any

import orjson

from splade_anserini.lucene.index_reader import ID
from splade_anserini.lucene.java.json_request import JsonRequest
from splade_anserini.lucene.java.method_handles import (
    ARRAY_LIST,
    INTEGER,
    ITERATOR,
    LIST,
    STRING,
    add_to_list,
    as_callable,
    as_type,
    bind,
    bind_int,
    bind_primitive,
    chain,
    constructor,
    fold_first,
    list_to_array,
    next_element,
    sequence,
    static_method,
    virtual_method,
    while_has_next,
)

_SEARCH = "org.apache.lucene.search"
_SEARCHER, _QUERY, _ID_QUERY = f"{_SEARCH}.IndexSearcher", f"{_SEARCH}.Query", f"{_SEARCH}.TermInSetQuery"
_TOP_DOCS, _SCORE_DOC, _TOTAL_HITS = f"{_SEARCH}.TopDocs", f"{_SEARCH}.ScoreDoc", f"{_SEARCH}.TotalHits"
_BYTES_REF = "org.apache.lucene.util.BytesRef"
_ALL = 2**31 - 1


class DocFinder:
    """Searches for the ids that `request` contains as a JSON array.

    `write`, (TopDocs) → void, writes the hits.
    """

    def __init__(self, searcher: Any, request: JsonRequest, write: Any) -> None:
        self._searcher, self._write = searcher, write
        self._terms = _JavaList()
        # new BytesRef(iterator.next())
        to_bytes = as_type(constructor(_BYTES_REF, "java.lang.CharSequence"), _BYTES_REF, STRING)
        term = chain(next_element(STRING), to_bytes)
        self._fill = self._terms.fill_from(request.parse_list(STRING), term, _BYTES_REF)
        self._tasks: dict[int, Any] = {}

    def task(self, hits: int) -> Any:
        """Return a `Callable` that searches for the ids and writes at most `hits` hits."""
        self._terms.clear()
        if hits not in self._tasks:
            self._tasks[hits] = as_callable(self._compose(hits))
        return self._tasks[hits]

    def _compose(self, hits: int) -> Any:
        from jnius import autoclass

        # List<String> ids = stringListReader.readValue(request.toByteArray());
        # for (Iterator<String> iterator = ids.iterator(); iterator.hasNext(); ) {
        #     terms.add(new BytesRef(iterator.next()));
        # }
        # write(searcher.search(new TermInSetQuery("id", terms), hits));
        query = as_type(constructor(_ID_QUERY, STRING, "java.util.Collection"), _QUERY, STRING, "java.util.Collection")
        query = bind(query, autoclass(STRING)(ID), self._terms.items)
        search = bind(virtual_method(_SEARCHER, "search", _TOP_DOCS, _QUERY, "int"), self._searcher)
        return sequence(self._fill, chain(query, bind_int(search, 1, hits), self._write))


class DocScorer:
    """Scores given documents with Lucene's QueryRescorer: to a score of 0, the score of the query is added.

    A document that the query does not match keeps its 0. The others get the same float as in a search.
    `query`, () → Query, returns the query; `write`, (TopDocs) → void, writes the hits.
    """

    def __init__(self, searcher: Any, query: Any, write: Any) -> None:
        self._docs, self._request = _JavaList(), JsonRequest()
        self._task = as_callable(self._compose(searcher, query, write))

    def load(self, docs: Sequence[int]) -> Any:
        """Return a `Callable` that scores documents, given by Lucene's document numbers."""
        self._docs.clear()
        self._request.write(orjson.dumps(list(docs)))
        return self._task

    def _compose(self, searcher: Any, query: Any, write: Any) -> Any:
        # List<Integer> numbers = integerListReader.readValue(request.toByteArray());
        # for (Iterator<Integer> iterator = numbers.iterator(); iterator.hasNext(); ) {
        #     docs.add(new ScoreDoc(iterator.next(), 0.0f));
        # }
        # TopDocs unscored = new TopDocs(totalHits, docs.toArray(new ScoreDoc[0]));
        # write(QueryRescorer.rescore(searcher, unscored, query(), 1.0, Integer.MAX_VALUE));
        number = as_type(next_element(INTEGER), "int", ITERATOR)
        score_doc = bind_primitive(constructor(_SCORE_DOC, "int", "float"), 1, "float", 0.0)
        fill = self._docs.fill_from(self._request.parse_list(INTEGER), chain(number, score_doc), _SCORE_DOC)
        top_docs = bind(constructor(_TOP_DOCS, _TOTAL_HITS, f"[L{_SCORE_DOC};"), _total_hits())
        unscored = chain(list_to_array(self._docs.items, _SCORE_DOC), top_docs)
        rescore = static_method(
            f"{_SEARCH}.QueryRescorer", "rescore", _TOP_DOCS, _SEARCHER, _TOP_DOCS, _QUERY, "double", "int"
        )
        # (searcher, unscored, query, 1.0, all) becomes (unscored, query), and then (query).
        rescore = bind_int(bind_primitive(bind(rescore, searcher), 2, "double", 1.0), 2, _ALL)
        return sequence(fill, chain(query, fold_first(unscored, rescore), write))


class _JavaList:
    """A list in Java that is filled again for each request."""

    def __init__(self) -> None:
        from jnius import autoclass

        self.items: Any = autoclass(ARRAY_LIST)()

    def clear(self) -> None:
        """Remove all elements."""
        self.items.clear()

    def fill_from(self, source: Any, element: Any, kind: str) -> Any:
        """Return a handle that adds an element for each in `source`, () → List; `element` is (Iterator) → kind."""
        # for (Iterator iterator = source().iterator(); iterator.hasNext(); ) items.add(element(iterator));
        add = chain(element, add_to_list(self.items, kind))
        return chain(source, virtual_method(LIST, "iterator", ITERATOR), while_has_next(add))


def _total_hits() -> Any:
    """Return a TotalHits of 0; TopDocs requires one, and nothing reads it."""
    from jnius import autoclass

    relation = autoclass(f"{_TOTAL_HITS}$Relation").EQUAL_TO
    return autoclass(_TOTAL_HITS)(0, relation, signature=f"(JL{_TOTAL_HITS.replace('.', '/')}$Relation;)V")
