"""The result of one query: its hits with their stored documents, and the terms that each score is the sum of."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from splade_anserini.encoding.origins import TokenSpan
from splade_anserini.explaining.match import MatchedTerm, descending, matched_terms
from splade_anserini.explaining.snippets import MARK, MARK_END, WIDTH, Snippet, SpansOf, snippet, title_and_text
from splade_anserini.records import ImpactVector, JsonDocument
from splade_anserini.retrieval.options import SearchOptions, TwoStepOptions

if TYPE_CHECKING:
    import pandas as pd

    from splade_anserini.lucene import ImpactSearcher
    from splade_anserini.lucene.bm25 import Bm25Searcher
    from splade_anserini.lucene.query_weights import QueryWeights

_SHOWN_TERMS = 3
"""Terms that a hit shows where there is little room."""


@dataclass(frozen=True, slots=True)
class MatchedWord:
    """A word that the query and a document share, for BM25."""

    token: str
    """The word as the text index has it."""
    query: int
    """How often it is in the query."""
    document: float
    """BM25's score of the word for the document."""
    product: float
    share: float
    """Of the score, from 0 to 1."""


def result_values(
    query: str | None,
    weights: ImpactVector,
    hits: Sequence[Mapping[str, object]],
    query_idf: float = 0.0,
    unweighted: ImpactVector | None = None,
) -> dict[str, object]:
    """Return the result of one search as JSON values.

    `query_idf` and `unweighted` are there where impacts have a factor.
    """
    values: dict[str, object] = {"query": query, "weights": dict(weights)}
    if unweighted is not None:
        values |= {"query_idf": query_idf, "unweighted": dict(unweighted)}
    return values | {"hits": hits}


def hit_values(rank: int, doc_id: str, score: float, document: object) -> dict[str, object]:
    """Return a hit as JSON values, without the terms of its score."""
    return {"rank": rank, "id": doc_id, "score": score, "document": document}


def term_values(terms: Sequence[MatchedTerm] | Sequence[MatchedWord]) -> list[dict[str, object]]:
    """Return the terms of a score as JSON values."""
    return [
        {"token": term.token, "query": term.query, "document": term.document, "product": term.product} for term in terms
    ]


@dataclass(frozen=True, slots=True)
class ResultHit:
    """A document that was found, and why."""

    rank: int
    """From 1."""
    id: str
    score: float
    """The dot product of the impacts of query and document, an integer; for BM25 its score."""
    document: JsonDocument | None
    """The stored record, without its vector; None when the index does not store it."""
    terms: tuple[MatchedTerm, ...] | tuple[MatchedWord, ...]
    """The tokens that query and document share, the greatest product first, equal ones by token."""
    spans_of: SpansOf | None = field(default=None, compare=False)
    """What finds tokens in the text of the document; None: tokens are compared with its words, which finds fewer."""

    def values(self) -> dict[str, object]:
        """Return the hit as JSON values."""
        document = None if self.document is None else dict(self.document)
        return {**hit_values(self.rank, self.id, self.score, document), "terms": term_values(self.terms)}

    @property
    def shares(self) -> str:
        """The terms that bring most of the score, with their shares."""
        shares = ", ".join(f"{term.token} {term.share:.0%}" for term in self.terms[:_SHOWN_TERMS])
        return f"{shares}, …" if len(self.terms) > _SHOWN_TERMS else shares

    def snippet(self, width: int = WIDTH) -> Snippet | None:
        """Return the passage of the stored text, without the title, that brings most of the score.

        It has at most about `width` characters. None when no text is stored.
        """
        _, text = title_and_text(self.document or {})
        return self._marked(text, width) if text else None

    def title(self) -> Snippet | None:
        """Return the stored title with its words that match; None without one."""
        title, _ = title_and_text(self.document or {})
        return self._marked(title, len(title)) if title else None

    def _marked(self, text: str, width: int) -> Snippet:
        return snippet(text, {term.token: term.product for term in self.terms}, self.spans_of, width)

    def __repr__(self) -> str:
        return f"<ResultHit {self.rank}: {self.id}, score {score_text(self.score)}: {self.shares}>"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search finds for one query."""

    query: str | None
    """The text; None for a query that is a vector."""
    weights: ImpactVector
    """Token → impact as it was searched, the greatest first, equal ones by token: times idf, and pruned. For BM25, word
    → how often it is in the query."""
    hits: tuple[ResultHit, ...]
    """The best one first."""
    query_idf: float = 0.0
    """The power of idf by which the impacts were multiplied."""
    unweighted: ImpactVector | None = None
    """The impacts before they were multiplied by idf; None where they were not."""

    def values(self) -> dict[str, object]:
        """Return the result as JSON values. `query_idf` and `unweighted` are there where impacts have a factor."""
        hits = [hit.values() for hit in self.hits]
        return result_values(self.query, self.weights, hits, self.query_idf, self.unweighted)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each hit with its stored record, and its terms as token → product."""
        from splade_anserini.artifacts.data_frames import data_frame

        columns = ["rank", "id", "score", "document", "terms"]
        rows = [
            (hit.rank, hit.id, hit.score, hit.document, {term.token: term.product for term in hit.terms})
            for hit in self.hits
        ]
        return data_frame(columns, rows)

    def _repr_html_(self) -> str:
        from splade_anserini.artifacts.html import HtmlColumn, html_fragment, html_table

        columns = [HtmlColumn("rank"), HtmlColumn("id", is_text=True), HtmlColumn("score")]
        columns += [HtmlColumn(title, is_text=True, is_long=True) for title in ("terms", "text")]
        rows = [(str(hit.rank), hit.id, score_text(hit.score), hit.shares, _marked_text(hit)) for hit in self.hits]
        label = "The result of a query" if self.query is None else f"The result of “{self.query}”"
        table = html_table(columns, rows, caption=label)
        return html_fragment(table.replace(MARK, "<mark>").replace(MARK_END, "</mark>"), label)

    def __repr__(self) -> str:
        name = "a vector" if self.query is None else repr(self.query)
        return f"<SearchResult of {name}: {len(self.weights)} tokens, {len(self.hits)} hits>"

    def __str__(self) -> str:
        """Return the hits with their snippets, as `search --query` prints them."""
        from splade_anserini.explaining.result_text import result_text

        return result_text(self)


def search_result(
    searcher: "ImpactSearcher",
    query: ImpactVector,
    options: SearchOptions | None = None,
    *,
    text: str | None = None,
    weights: "QueryWeights | None" = None,
    two_step: TwoStepOptions | None = None,
    documents: bool = True,
    spans_of: SpansOf | None = None,
) -> SearchResult:
    """Search for one query, and return its best `options.hits` documents (10 by default) with their terms.

    `query` is multiplied by idf as `weights` say and pruned as `options` say; `text` is what it was encoded from. The
    postings of the query's tokens are read for the hits alone. Without `documents`, stored records are not read.
    `spans_of` finds the tokens in their texts, for snippets. Raises `InputError` for a score from 2²⁴ up with idf, as
    it may have been rounded.
    """
    from splade_anserini.lucene import TwoStepSearcher
    from splade_anserini.retrieval.query_vectors import prune_queries

    options = options or SearchOptions(hits=10)
    weighted = weights.weighted(query) if weights else query
    (pruned,) = prune_queries({text or "": weighted}, options.query_top_k, options.query_min_impact).values()
    impacts = descending(pruned)
    terms = two_step.two_step if two_step else None
    ranker = TwoStepSearcher(searcher, terms, two_step.candidates) if two_step and terms else searcher
    ranking = ranker.rank(impacts, options.hits)
    if weights:
        weights.check_score(text or "", max(ranking.scores, default=0))
    unweighted = query if weights and weights.alpha else None
    hits = zip(
        ranking.ids,
        ranking.scores,
        searcher.stored(ranking.ids, ranking.docs) if documents else [None] * len(ranking.docs),
        searcher.impacts(impacts, ranking.docs),
        strict=True,
    )
    found = [
        ResultHit(rank, id_, int(score), stored, matched_terms(impacts, document, unweighted), spans_of)
        for rank, (id_, score, stored, document) in enumerate(hits, start=1)
    ]
    return SearchResult(
        text,
        impacts,
        tuple(found),
        weights.alpha if weights else 0.0,
        None if unweighted is None else descending(unweighted),
    )


def _marked_text(hit: ResultHit) -> str:
    passage = hit.snippet()
    return passage.marked(MARK, MARK_END) if passage else ""


def score_text(score: float) -> str:
    """Return a score as people read it: impacts are integers, scores of BM25 have four decimals."""
    return f"{score:,}" if isinstance(score, int) else f"{score:,.4f}"


def bm25_result(searcher: "Bm25Searcher", text: str, hits: int = 10, *, documents: bool = True) -> SearchResult:
    """Search for one text with BM25, and return its best `hits` documents with the words of their scores.

    `weights` of the result are how often each word is in the query. The products add up to the score before it is
    rounded to four decimals.
    """
    counts = Counter(searcher.words(text))
    ((_, ranking),) = searcher.rankings([("", text)], hits)

    def spans_of(text: str) -> list[TokenSpan]:
        return [TokenSpan(*span) for span in searcher.word_spans(text)]

    scores = searcher.word_scores(counts, ranking.docs)
    stored = searcher.stored(ranking.ids, ranking.docs) if documents else [None] * len(ranking.docs)
    found = [
        ResultHit(rank, id_, score, document, matched_words(counts, words), spans_of)
        for rank, (id_, score, document, words) in enumerate(
            zip(ranking.ids, ranking.scores, stored, scores, strict=True), start=1
        )
    ]
    return SearchResult(text, descending(counts), tuple(found))


def matched_words(counts: Mapping[str, int], scores: Mapping[str, float]) -> tuple[MatchedWord, ...]:
    """Return the words of a score of BM25, the greatest product first.

    `counts` is word → how often it is in the query, `scores` word → its score for the document.
    """
    total = sum(counts[word] * score for word, score in scores.items())
    words = [
        MatchedWord(word, counts[word], score, counts[word] * score, counts[word] * score / total)
        for word, score in scores.items()
    ]
    return tuple(sorted(words, key=lambda word: (-word.product, word.token)))
