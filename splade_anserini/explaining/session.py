"""Searches for one query after the other, in an index that is open."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.errors import InputError
from splade_anserini.explaining.expansion import Expansion, expand
from splade_anserini.explaining.match import Match, compare, explain_match
from splade_anserini.explaining.result_text import query_line, terms_line
from splade_anserini.explaining.search_result import SearchResult, bm25_result, score_text, search_result
from splade_anserini.explaining.vocabulary import spans_of
from splade_anserini.records import ImpactVector, JsonDocument, Query
from splade_anserini.retrieval.options import SearchOptions, TwoStepOptions

if TYPE_CHECKING:
    from splade_anserini.encoding import ImpactQueryEncoder
    from splade_anserini.lucene import Bm25Searcher, ImpactSearcher
    from splade_anserini.lucene.query_weights import QueryWeights

type Weights = Mapping[str, float]
"""Other weights of tokens of a query, see `Expansion.edited`."""


class SearchSession(ABC):
    """An index that is searched for one query after the other."""

    index: Path
    hits: int
    """Documents that a search returns; it may be set."""
    documents: int
    """In the index."""
    filters: tuple[str, ...] = ()
    """Conditions that all hits fulfil."""

    @abstractmethod
    def set_filters(self, filters: tuple[str, ...]) -> None:
        """Find only documents that fulfil all of these conditions. Raises `InputError` for one that is not valid."""

    @abstractmethod
    def search(self, text: str, weights: Weights) -> SearchResult:
        """Return the best documents for a text, in which some tokens have other weights."""

    @abstractmethod
    def query_text(self, text: str, weights: Weights) -> str:
        """Return what a query becomes, as text."""

    @abstractmethod
    def explanation(self, result: SearchResult, rank: int) -> str:
        """Return why a hit has its score, as text. Raises `InputError` for a rank that is not in the result."""

    @abstractmethod
    def comparison(self, result: SearchResult, first: int, second: int) -> str:
        """Return why one hit is above another, as text. Raises `InputError` for a rank that is not in the result."""

    @staticmethod
    def document(result: SearchResult, rank: int) -> JsonDocument | None:
        """Return the stored document of a hit. Raises `InputError` for a rank that is not in the result."""
        _check_rank(result, rank)
        return result.hits[rank - 1].document


class ImpactSession(SearchSession):
    """Searches an impact index."""

    def __init__(
        self,
        searcher: "ImpactSearcher",
        encoder: "ImpactQueryEncoder",
        weights: "QueryWeights",
        options: SearchOptions,
        two_step: TwoStepOptions | None = None,
    ) -> None:
        self.index = Path(searcher.directory)
        self.hits = options.hits
        self.documents = searcher.documents
        self._everything = self._searcher = searcher
        self._encoder, self._weights = encoder, weights
        self._options, self._two_step = options, two_step

    def set_filters(self, filters: tuple[str, ...]) -> None:
        """Find only documents that fulfil all of these conditions; see `index --filter-fields`."""
        self._searcher = self._everything.filtered(filters)
        self.filters = filters

    def search(self, text: str, weights: Weights) -> SearchResult:
        """Return the best documents for a text, in which some tokens have other weights."""
        impacts = self._expanded(text, weights).impacts if weights else self._encoded(text)
        options = replace(self._options, hits=self.hits)
        return search_result(
            self._searcher,
            impacts,
            options,
            text=text,
            weights=self._weights,
            two_step=self._two_step,
            spans_of=spans_of(self._encoder.encoder),
        )

    def query_text(self, text: str, weights: Weights) -> str:
        """Return what a query becomes, as text."""
        return str(self._expanded(text, weights))

    def explanation(self, result: SearchResult, rank: int) -> str:
        """Return why a hit has its score, with what query and document have alone."""
        return str(self._match(result, rank))

    def comparison(self, result: SearchResult, first: int, second: int) -> str:
        """Return why one hit is above another, by the terms that make the difference."""
        return str(compare(self._match(result, first), self._match(result, second)))

    def _match(self, result: SearchResult, rank: int) -> Match:
        from splade_anserini.lucene.doc_vectors import document_vector

        _check_rank(result, rank)
        hit = result.hits[rank - 1]
        return explain_match(result.weights, document_vector(self.index, hit.id), hit.id, result.unweighted)

    def _encoded(self, text: str) -> ImpactVector:
        """Return the impacts of a query; a warning says when it is longer than the encoder reads, or has no entries."""
        from splade_anserini.retrieval.query_vectors import encode_queries

        return encode_queries([Query(text, text)], self._encoder)[text]

    def _expanded(self, text: str, weights: Weights) -> Expansion:
        return expand(text, self._encoder.encoder, self._encoder.scale).edited(weights)


class Bm25Session(SearchSession):
    """Searches a text index with BM25."""

    def __init__(self, searcher: "Bm25Searcher", hits: int) -> None:
        self.index = Path(searcher.directory)
        self.hits = hits
        self.documents = searcher.documents
        self._searcher = searcher

    def set_filters(self, filters: tuple[str, ...]) -> None:
        """Raise `InputError` for any filter: text indexes have no fields for them."""
        if filters:
            raise InputError("Text indexes have no fields for filters.", do="Leave the filter out.")

    def search(self, text: str, weights: Weights) -> SearchResult:
        """Return the best documents for a text. Raises `InputError` for weights, which BM25 has not."""
        if weights:
            raise InputError("Words have no weights with BM25.", do="Leave --query-weights or --bm25 out.")
        return bm25_result(self._searcher, text, self.hits)

    def query_text(self, text: str, weights: Weights) -> str:
        """Return the words that are searched for, with their counts."""
        return f"{query_line(replace(self.search(text, weights), hits=()))}\n"

    def explanation(self, result: SearchResult, rank: int) -> str:
        """Return why a hit has its score: the share of each word."""
        _check_rank(result, rank)
        hit = result.hits[rank - 1]
        return f"{hit.id}: score {score_text(hit.score)}\n{terms_line(hit, len(hit.terms))}\n"

    def comparison(self, result: SearchResult, first: int, second: int) -> str:
        """Return the shares of words in both scores."""
        return "".join(self.explanation(result, rank) for rank in (first, second))


def _check_rank(result: SearchResult, rank: int) -> None:
    if not 1 <= rank <= len(result.hits):
        hits = f"from 1 to {len(result.hits)}" if result.hits else "of a hit, and the last search has none"
        raise InputError(f"There is no hit {rank}.", expected=f"a rank {hits}")
