"""Searches in batches: what the search thread does, one call for many requests."""

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson

from splade_anserini.parallel import cpu_count
from splade_anserini.serving.metrics import Metrics
from splade_anserini.serving.opened_index import OpenedIndex
from splade_anserini.serving.requests import SearchRequest

if TYPE_CHECKING:
    from splade_anserini.explaining import MatchedTerm
    from splade_anserini.explaining.search_result import MatchedWord
    from splade_anserini.lucene.ranking import Ranking
    from splade_anserini.records import ImpactVector

    type _Terms = tuple[MatchedTerm, ...] | tuple[MatchedWord, ...]

LARGE = 300_000
"""Documents of an index from which the searches of a batch run in parallel: in smaller ones they are too short."""

BM25_WEIGHT = 0.5
"""Of hybrid search, as `search --hybrid` has it."""


@dataclass(frozen=True, slots=True)
class Search:
    """A request whose query is encoded, or needs no vector."""

    index: OpenedIndex
    request: SearchRequest
    vector: "ImpactVector"
    """Before it is multiplied by idf."""

    @property
    def needs_documents(self) -> bool:
        """Whether stored documents are read."""
        return self.request.documents or self.request.snippets

    @property
    def power(self) -> float:
        """The power of idf by which the impacts of the query are multiplied."""
        if self.request.engine == "bm25":
            return 0.0
        return self.index.index.query_idf if self.request.query_idf is None else self.request.query_idf


@dataclass(slots=True)
class Answer:
    """The answer to a request, with the seconds of its stages."""

    body: bytes
    seconds: dict[str, float] = field(default_factory=dict)
    is_complete: bool = True
    """Whether all shards were searched."""

    @property
    def timing(self) -> str:
        """The value of the header Server-Timing: the milliseconds of each stage."""
        stages = [f"{stage};dur={1000 * seconds:.2f}" for stage, seconds in self.seconds.items()]
        return ", ".join(stages) or 'cache;desc="answered before"'


@dataclass(frozen=True, slots=True)
class Call:
    """Anything else that the search thread does."""

    function: Callable[[], Any]


class SearchRunner:
    """Runs batches of searches; those of one index and depth take two calls to Java together."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, batch: Sequence[Search | Call]) -> list[Any]:
        """Return the `Answer` to each search and the result of each call."""
        results: dict[int, Any] = {}
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for position, work in enumerate(batch):
            if isinstance(work, Call):
                results[position] = work.function()
            else:
                request = work.request
                fields = tuple((request.search_fields or {}).items())
                groups[id(work.index), request.engine, request.k, request.filters, fields].append(position)
        for positions in groups.values():
            searches = [work for position in positions if isinstance(work := batch[position], Search)]
            results |= zip(positions, self._answers(searches), strict=True)
        return [results[position] for position in range(len(batch))]

    def _answers(self, searches: Sequence[Search]) -> list[Answer]:
        """Answer searches of one index with one engine, depth and filter."""
        start = time.perf_counter()
        weights = [_weighted(search) for search in searches]
        rankings = _rankings(searches, weights)
        searched = time.perf_counter()
        records = _records(searches, rankings)
        terms = map(_terms, searches, weights, rankings)
        answers = list(map(_answer, searches, weights, rankings, records, terms))
        seconds = {"search": searched - start, "documents": time.perf_counter() - searched}
        for stage in ("search", "documents"):
            self._metrics.stages[stage].observe(seconds[stage])
        for answer in answers:
            answer.seconds = seconds
        return answers


def _weighted(search: Search) -> "ImpactVector":
    return {} if search.request.engine == "bm25" else search.index.weighted(search.vector, search.request.query_idf)


def _rankings(searches: Sequence[Search], weights: "Sequence[ImpactVector]") -> "list[Ranking]":
    index, request = searches[0].index, searches[0].request
    threads = min(len(searches), cpu_count()) if len(index.index) >= LARGE else 1
    if request.search_fields:
        return index.field_rankings(weights, request.k, request.search_fields, request.filters)
    if request.engine == "impacts":
        return index.rankings(weights, request.k, threads, request.filters)
    texts = index.text_rankings([search.request.query or "" for search in searches], request.k, threads)
    if request.engine == "bm25":
        return texts
    impacts = index.rankings(weights, request.k, threads, request.filters)
    return [_fused(index, *pair, request.k) for pair in zip(impacts, texts, strict=True)]


def _fused(index: OpenedIndex, impacts: "Ranking", texts: "Ranking", hits: int) -> "Ranking":
    """Fuse two rankings as `search --hybrid` does. Numbers of documents are those of the impact index.

    They are -1 for documents with an empty vector, which only the text index has.
    """
    from ir_measures import ScoredDoc

    from splade_anserini.lucene.ranking import Ranking
    from splade_anserini.retrieval.hybrid import fused, scores_with_bm25

    rankings = [
        [ScoredDoc("", id_, score) for id_, score in zip(ranking.ids, ranking.scores, strict=True)]
        for ranking in (impacts, texts)
    ]
    ranked = fused("", rankings, scores_with_bm25(BM25_WEIGHT, hits))
    docs = dict(zip(impacts.ids, impacts.docs, strict=True))
    docs |= index.index.searcher.docs_of([hit.doc_id for hit in ranked if hit.doc_id not in docs])
    return Ranking(
        [hit.doc_id for hit in ranked], [hit.score for hit in ranked], [docs.get(hit.doc_id, -1) for hit in ranked]
    )


def _records(searches: Sequence[Search], rankings: "Sequence[Ranking]") -> list[list[bytes | None]]:
    """Return the stored records of the documents of all rankings, read at once."""
    index, is_text = searches[0].index, searches[0].request.engine == "bm25"
    pairs = {
        doc: id_
        for search, ranking in zip(searches, rankings, strict=True)
        if search.needs_documents
        for id_, doc in zip(ranking.ids, ranking.docs, strict=True)
        if doc >= 0
    }
    numbers = sorted(pairs)
    records = dict(zip(numbers, index.records(numbers, is_text=is_text), strict=True))
    if is_text:
        # Text indexes often store no documents, as the impact index beside them has them.
        missing = [pairs[doc] for doc in numbers if records[doc] is None]
    else:
        missing = [
            id_
            for search, ranking in zip(searches, rankings, strict=True)
            if search.needs_documents and -1 in ranking.docs
            for id_, doc in zip(ranking.ids, ranking.docs, strict=True)
            if doc < 0
        ]
    by_id = index.records_by_id(list(dict.fromkeys(missing)), is_text=not is_text)
    return [
        [records.get(doc) or by_id.get(id_) for id_, doc in zip(ranking.ids, ranking.docs, strict=True)]
        for ranking in rankings
    ]


def _terms(search: Search, weights: "ImpactVector", ranking: "Ranking") -> "Sequence[_Terms] | None":
    """Return the terms of the score of each hit, if the request wants them or snippets, which show them.

    Those of hybrid search are of its impacts.
    """
    from splade_anserini.explaining.match import matched_terms
    from splade_anserini.serving.highlighting import words_of_hits

    if not (search.request.terms or search.request.snippets):
        return None
    if search.request.engine == "bm25":
        return words_of_hits(search.index.text, search.request.query or "", ranking.docs) if search.index.text else None
    docs = [doc for doc in ranking.docs if doc >= 0]
    impacts = dict(zip(docs, search.index.index.searcher.impacts(weights, docs), strict=True))
    return [matched_terms(weights, impacts.get(doc, {})) for doc in ranking.docs]


def _answer(
    search: Search,
    weights: "ImpactVector",
    ranking: "Ranking",
    records: Sequence[bytes | None],
    terms: "Sequence[_Terms] | None",
) -> Answer:
    """Return the answer in JSON, as `explaining.SearchResult.values` has it; terms are left out where it has none."""
    from splade_anserini.explaining.match import descending
    from splade_anserini.explaining.search_result import hit_values, result_values, term_values
    from splade_anserini.lucene.stored_documents import document_of_record
    from splade_anserini.serving.highlighting import snippet_values

    request = search.request
    is_integer = request.engine == "impacts" and not request.search_fields
    if is_integer:
        search.index.check_scores(request.query or "", ranking.scores, request.query_idf)
    scores = map(int, ranking.scores) if is_integer else ranking.scores
    documents = [_shown(search, *pair) for pair in zip(ranking.ids, records, strict=True)]
    hits = list(map(hit_values, count(1), ranking.ids, scores, documents))
    if request.terms:
        for hit, terms_of_hit in zip(hits, terms or [()] * len(hits), strict=True):
            hit["terms"] = term_values(terms_of_hit)
    if request.snippets:
        spans_of = search.index.text_spans_of if request.engine == "bm25" else search.index.spans_of
        for hit, record, terms_of_hit in zip(hits, records, terms or [()] * len(hits), strict=True):
            products = {term.token: term.product for term in terms_of_hit}
            hit.update(snippet_values(document_of_record("", record), products, spans_of))
    power = search.power
    unweighted = descending(search.vector) if power else None
    return Answer(orjson.dumps(result_values(request.query, descending(weights), hits, power, unweighted)))


def _shown(search: Search, doc_id: str, record: bytes | None) -> object:
    """Return the document that a hit shows, if any: a record that is one already goes into the answer as it is."""
    from splade_anserini.lucene.stored_documents import document_of_record, is_document

    if record is None or not search.request.documents:
        return None
    if search.request.fields is None and search.index.is_own and is_document(record):
        return orjson.Fragment(record)
    document = document_of_record(doc_id, record) or {}
    if search.request.fields is None:
        return document
    return with_fields(document, search.request.fields)


def with_fields(document: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Return a document with its id and those of the fields that it has."""
    return {name: document[name] for name in ("id", *fields) if name in document}
