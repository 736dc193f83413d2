"""Searches in batches: what the search thread does, one call for many requests."""

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from splade_anserini.parallel import cpu_count
from splade_anserini.serving.metrics import Metrics
from splade_anserini.serving.opened_index import OpenedIndex
from splade_anserini.serving.requests import Engine

if TYPE_CHECKING:
    from splade_anserini.explaining import MatchedTerm
    from splade_anserini.explaining.search_result import MatchedWord
    from splade_anserini.lucene.ranking import Ranking
    from splade_anserini.records import ImpactVector, JsonDocument

    type _Terms = tuple[MatchedTerm, ...] | tuple[MatchedWord, ...]

LARGE = 300_000
"""Documents of an index from which the searches of a batch run in parallel: in smaller ones they are too short."""

BM25_WEIGHT = 0.5
"""Of hybrid search, as `search --hybrid` has it."""


@dataclass(frozen=True, slots=True)
class Search:
    """A query that is encoded, or needs no vector."""

    index: OpenedIndex
    engine: Engine
    text: str | None
    vector: "ImpactVector"
    """Before it is multiplied by idf."""
    hits: int
    documents: bool = True
    terms: bool = False
    snippets: bool = False
    query_idf: float | None = None
    filters: tuple[str, ...] = ()


@dataclass(slots=True)
class Answer:
    """The answer to a request, with the seconds of its stages."""

    body: bytes
    seconds: dict[str, float] = field(default_factory=dict)
    is_complete: bool = True
    """Whether all shards were searched."""


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
                groups[id(work.index), work.engine, work.hits, work.filters].append(position)
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
        documents = _documents(searches, rankings)
        terms = map(_terms, searches, weights, rankings)
        answers = list(map(_answer, searches, weights, rankings, documents, terms))
        seconds = {"search": searched - start, "documents": time.perf_counter() - searched}
        for stage in ("search", "documents"):
            self._metrics.stages[stage].observe(seconds[stage])
        for answer in answers:
            answer.seconds = seconds
        return answers


def _weighted(search: Search) -> "ImpactVector":
    return {} if search.engine == "bm25" else search.index.weighted(search.vector, search.query_idf)


def _rankings(searches: Sequence[Search], weights: "Sequence[ImpactVector]") -> "list[Ranking]":
    first = searches[0]
    threads = min(len(searches), cpu_count()) if len(first.index.index) >= LARGE else 1
    if first.engine == "impacts":
        return first.index.rankings(weights, first.hits, threads, first.filters)
    texts = first.index.text_rankings([search.text or "" for search in searches], first.hits, threads)
    if first.engine == "bm25":
        return texts
    impacts = first.index.rankings(weights, first.hits, threads, first.filters)
    return [_fused(first.index, *pair, first.hits) for pair in zip(impacts, texts, strict=True)]


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


def _documents(searches: Sequence[Search], rankings: "Sequence[Ranking]") -> "list[Sequence[JsonDocument | None]]":
    """Return the documents of all rankings, read at once."""
    index, is_text = searches[0].index, searches[0].engine == "bm25"
    docs: dict[int, str] = {}
    for search, ranking in zip(searches, rankings, strict=True):
        if search.documents or search.snippets:
            docs |= zip(ranking.docs, ranking.ids, strict=True)
    missing = []
    if docs.pop(-1, None) is not None:
        missing = [id_ for ranking in rankings for id_, doc in zip(ranking.ids, ranking.docs, strict=True) if doc < 0]
    numbers = sorted(docs)
    stored = dict(zip(numbers, index.stored([docs[doc] for doc in numbers], numbers, is_text=is_text), strict=True))
    if is_text:
        # Text indexes often store no documents, as the impact index beside them has them.
        missing = [id_ for doc, id_ in docs.items() if stored[doc] is None]
    by_id = index.documents_by_id(list(dict.fromkeys(missing)), is_text=not is_text)
    return [
        [stored.get(doc) or by_id.get(id_) for id_, doc in zip(ranking.ids, ranking.docs, strict=True)]
        if search.documents or search.snippets
        else [None] * len(ranking.ids)
        for search, ranking in zip(searches, rankings, strict=True)
    ]


def _terms(search: Search, weights: "ImpactVector", ranking: "Ranking") -> "Sequence[_Terms] | None":
    """Return the terms of the score of each hit, if the request wants them or snippets, which show them.

    Those of hybrid search are of its impacts.
    """
    from splade_anserini.explaining.match import matched_terms
    from splade_anserini.serving.highlighting import words_of_hits

    if not (search.terms or search.snippets):
        return None
    if search.engine == "bm25":
        return words_of_hits(search.index.text, search.text or "", ranking.docs) if search.index.text else None
    docs = [doc for doc in ranking.docs if doc >= 0]
    impacts = dict(zip(docs, search.index.index.searcher.impacts(weights, docs), strict=True))
    return [matched_terms(weights, impacts.get(doc, {})) for doc in ranking.docs]


def _answer(
    search: Search,
    weights: "ImpactVector",
    ranking: "Ranking",
    documents: "Sequence[JsonDocument | None]",
    terms: "Sequence[_Terms] | None",
) -> Answer:
    """Return the answer in JSON, as `explaining.SearchResult.values` has it; terms are left out where it has none."""
    from splade_anserini.explaining.search_result import term_values
    from splade_anserini.serving.highlighting import snippet_values

    is_integer = search.engine == "impacts"
    if is_integer:
        search.index.check_scores(search.text or "", ranking.scores, search.query_idf)
    hits: list[dict[str, Any]] = [
        {"rank": rank, "id": id_, "score": int(score) if is_integer else score, "document": document}
        for rank, (id_, score, document) in enumerate(zip(ranking.ids, ranking.scores, documents, strict=True), 1)
    ]
    if search.terms:
        for hit, terms_of_hit in zip(hits, terms or [()] * len(hits), strict=True):
            hit["terms"] = term_values(terms_of_hit)
    if search.snippets:
        spans_of = search.index.text_spans_of if search.engine == "bm25" else search.index.spans_of
        for hit, terms_of_hit in zip(hits, terms or [()] * len(hits), strict=True):
            products = {term.token: term.product for term in terms_of_hit}
            hit.update(snippet_values(hit["document"], products, spans_of))
    if not search.documents:
        hits = [{**hit, "document": None} for hit in hits]
    descending = dict(sorted(weights.items(), key=lambda item: (-item[1], item[0])))
    return Answer(orjson.dumps({"query": search.text, "weights": descending, "hits": hits}))
