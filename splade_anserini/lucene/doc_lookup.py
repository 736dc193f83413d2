"""Documents that are known already: found by their ids, and scored for a query without a search."""

from collections.abc import Sequence
from typing import Any

import orjson

from splade_anserini.lucene.java import method_handles as h
from splade_anserini.lucene.java.json_request import JsonRequest
from splade_anserini.lucene.schema import ID

_SEARCH = "org.apache.lucene.search"
_SEARCHER, _QUERY, _IDS = f"{_SEARCH}.IndexSearcher", f"{_SEARCH}.Query", f"{_SEARCH}.TermInSetQuery"
_TOP, _HIT, _TOTAL = f"{_SEARCH}.TopDocs", f"{_SEARCH}.ScoreDoc", f"{_SEARCH}.TotalHits"
_ARRAY_LIST, _BYTES_REF = "java.util.ArrayList", "org.apache.lucene.util.BytesRef"
_ALL = 2**31 - 1


class DocFinder:
    """Searches for ids, which a request of the lane holds as a JSON array; `write` writes the hits."""

    def __init__(self, searcher: Any, request: JsonRequest, write: Any) -> None:
        self._searcher, self._write = searcher, write
        self._terms = _Filled()
        to_bytes = h.typed(h.constructor(_BYTES_REF, "java.lang.CharSequence"), _BYTES_REF, h.STRING)
        strings = request.parsed(request.mapper.readerForListOf(h.java_class(h.STRING)), h.LIST)
        self._fill = self._terms.filling(strings, h.chain(h.next_of(h.STRING), to_bytes), _BYTES_REF)
        self._tasks: dict[int, Any] = {}

    def task(self, hits: int) -> Any:
        """Return a task for Java that searches for the ids, and finds at most `hits` documents."""
        self._terms.clear()
        if hits not in self._tasks:
            self._tasks[hits] = h.task(self._handle(hits))
        return self._tasks[hits]

    def _handle(self, hits: int) -> Any:
        """Compose: parse the ids, make a query of them, search, write the hits."""
        from jnius import autoclass

        query = h.typed(h.constructor(_IDS, h.STRING, "java.util.Collection"), _QUERY, h.STRING, "java.util.Collection")
        query = h.bound(query, autoclass(h.STRING)(ID), self._terms.items)
        search = h.bound(h.virtual(_SEARCHER, "search", _TOP, _QUERY, "int"), self._searcher)
        return h.sequence(self._fill, h.chain(query, h.bound_int(search, 1, hits), self._write))


class DocScorer:
    """Scores documents through Lucene's QueryRescorer: what they scored before is 0, what the query gives is added.

    A document that the query does not match keeps its 0. The others get the very float that a search would give.
    """

    def __init__(self, searcher: Any, query: Any, write: Any) -> None:
        self._docs, self._request = _Filled(), JsonRequest()
        self._task = h.task(self._handle(searcher, query, write))

    def load(self, docs: Sequence[int]) -> Any:
        """Return a task for Java that scores documents, given by Lucene's numbers."""
        self._docs.clear()
        self._request.write(orjson.dumps(list(docs)))
        return self._task

    def _handle(self, searcher: Any, query: Any, write: Any) -> Any:
        """Compose: parse the numbers, make hits with score 0 of them, rescore these, write them."""
        numbers = self._request.parsed(self._request.mapper.readerForListOf(h.java_class("java.lang.Integer")), h.LIST)
        number = h.typed(h.next_of("java.lang.Integer"), "int", h.ITERATOR)
        hit = h.bound_number(h.constructor(_HIT, "int", "float"), 1, "float", 0.0)
        fill = self._docs.filling(numbers, h.chain(number, hit), _HIT)
        top = h.bound(h.constructor(_TOP, _TOTAL, f"[L{_HIT};"), _no_total())
        hits = h.chain(h.as_array(self._docs.items, _HIT), top)
        rescore = h.static(f"{_SEARCH}.QueryRescorer", "rescore", _TOP, _SEARCHER, _TOP, _QUERY, "double", "int")
        rescore = h.bound_int(h.bound_number(h.bound(rescore, searcher), 2, "double", 1.0), 2, _ALL)
        return h.sequence(fill, h.chain(query, h.fold_first(hits, rescore), write))


class _Filled:
    """A list in Java, filled anew for each request."""

    def __init__(self) -> None:
        from jnius import autoclass

        self.items: Any = autoclass(_ARRAY_LIST)()

    def clear(self) -> None:
        """Empty it."""
        self.items.clear()

    def filling(self, source: Any, make: Any, kind: str) -> Any:
        """Return a handle that adds what `make`, (Iterator) → kind, makes of the List that `source` returns."""
        add = h.typed(h.bound(h.virtual(_ARRAY_LIST, "add", "boolean", h.OBJECT), self.items), "void", kind)
        return h.chain(source, h.virtual(h.LIST, "iterator", h.ITERATOR), h.while_next(h.chain(make, add)))


def _no_total() -> Any:
    """Return a count of hits, which nobody reads."""
    from jnius import autoclass

    exact = autoclass(f"{_TOTAL}$Relation").EQUAL_TO
    return autoclass(_TOTAL)(0, exact, signature=f"(JL{_TOTAL.replace('.', '/')}$Relation;)V")
