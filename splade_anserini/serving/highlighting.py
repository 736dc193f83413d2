"""Titles and texts of documents with the words that match, and scores of BM25 word by word."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from splade_anserini.encoding.origins import TokenSpan
from splade_anserini.explaining.search_result import MatchedWord, matched_words
from splade_anserini.explaining.snippets import WIDTH, Snippet, SpansOf, snippet, title_and_text

if TYPE_CHECKING:
    from splade_anserini.lucene import Bm25Searcher
    from splade_anserini.records import ImpactVector, JsonDocument
    from splade_anserini.serving.opened_index import OpenedIndex
    from splade_anserini.serving.requests import ExplainRequest

_LONGEST = 50_000
"""Characters of a text that is shown whole; of longer ones it is the best passage of this length."""


_REMEMBERED = 100_000
"""Pieces of texts whose words are remembered."""

_PIECE = re.compile(r"\S+")


class WordSpans:
    """Finds the words of texts as a text index has them.

    Lucene reads a text slowly from here, word by word. No analyzer joins what is separated by spaces, so that pieces
    between them are read once.
    """

    def __init__(self, searcher: "Bm25Searcher") -> None:
        self._searcher = searcher
        self._known: dict[str, list[tuple[str, int, int]]] = {}

    def __call__(self, text: str) -> list[TokenSpan]:
        """Return the words of a text with their places, as `Bm25Searcher.word_spans` does."""
        pieces = [(match.group(), match.start()) for match in _PIECE.finditer(text)]
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        self._read([piece for piece in dict.fromkeys(piece for piece, _ in pieces) if piece not in self._known])
        return [
            TokenSpan(word, position + start, position + stop)
            for piece, position in pieces
            for word, start, stop in self._known[piece]
        ]

    def _read(self, pieces: Sequence[str]) -> None:
        if not pieces:
            return
        spans = iter(self._searcher.word_spans("\n".join(pieces)))
        span = next(spans, None)
        begin = 0
        for piece in pieces:
            words = self._known.setdefault(piece, [])
            while span is not None and span[1] < begin + len(piece):
                word, start, stop = span
                words.append((word, start - begin, stop - begin))
                span = next(spans, None)
            begin += len(piece) + 1


def words_of_hits(searcher: "Bm25Searcher", query: str, docs: Sequence[int]) -> list[tuple[MatchedWord, ...]]:
    """Return the words that the scores of documents by BM25 come from; documents are Lucene's numbers."""
    counts = Counter(searcher.words(query))
    return [matched_words(counts, scores) for scores in searcher.word_scores(counts, docs)]


def explanation(index: "OpenedIndex", request: "ExplainRequest", vector: "ImpactVector") -> dict[str, Any] | None:
    """Return a score term by term, as JSON values; None when there is no document with this id."""
    values: dict[str, Any] | None
    if request.engine == "bm25":
        values = _explained_words(index.text, request.query or "", request.id) if index.text else None
    else:
        match = index.explain(vector, request.id, request.query_idf)
        values = dict(match.values()) if match else None
    if values is not None and request.highlights:
        _, document = index.document(request.id)
        products = {term["token"]: term["product"] for term in values["terms"]}
        values |= text_values(document, products, index.text_spans_of if request.engine == "bm25" else index.spans_of)
    return values


def _explained_words(searcher: "Bm25Searcher", query: str, doc_id: str) -> dict[str, Any] | None:
    docs = list(searcher.docs_of([doc_id]).values())
    if not docs:
        return None
    (words,) = words_of_hits(searcher, query, docs)
    found = {word.token for word in words}
    missing = Counter(word for word in searcher.words(query) if word not in found)
    terms = [
        {
            "token": word.token,
            "query": word.query,
            "document": round(word.document, 6),
            "product": round(word.product, 6),
            "share": round(word.share, 6),
            "unweighted": word.query,
        }
        for word in words
    ]
    score = round(sum(word.product for word in words), 4)
    return {
        "document": doc_id,
        "score": score,
        "terms": terms,
        "query_only": dict(missing),
        "document_only": None,
        "left_out_by_idf": {},
    }


def snippet_values(
    document: "JsonDocument | None", products: Mapping[str, float], spans_of: SpansOf | None
) -> dict[str, object]:
    """Return the title and the best passage of a document, with the words that bring its score."""
    title, text = title_and_text(document or {})
    return {
        "title": _values(_snippet(title, products, spans_of, len(title))),
        "snippet": _values(_snippet(text, products, spans_of, WIDTH)),
    }


def text_values(
    document: "JsonDocument | None", products: Mapping[str, float], spans_of: SpansOf | None
) -> dict[str, object]:
    """Return the title and the whole text of a document, as it is stored, with the words that bring its score."""
    title, text = title_and_text(document or {})
    whole = _snippet(text, products, spans_of, _LONGEST)
    values = _values(whole)
    if whole and values:
        values["text"] = text[whole.start : whole.start + len(whole.text)]
    return {"title": _values(_snippet(title, products, spans_of, len(title))), "text": values}


def _snippet(text: str, products: Mapping[str, float], spans_of: SpansOf | None, width: int) -> Snippet | None:
    return snippet(text, products, spans_of, width) if text else None


def _values(passage: Snippet | None) -> dict[str, object] | None:
    if passage is None:
        return None
    marks = [
        {"start": mark.start, "stop": mark.stop, "tokens": mark.tokens, "product": mark.product}
        for mark in passage.marks
    ]
    cuts = {"cut_before": passage.cut_before, "cut_after": passage.cut_after}
    return {"text": passage.text, "marks": marks, **cuts}
