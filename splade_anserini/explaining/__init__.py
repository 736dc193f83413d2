"""Why a document is found: expansions of texts, and scores term by term."""

from splade_anserini.explaining.expansion import ExpandedToken, Expansion, expand
from splade_anserini.explaining.match import Comparison, Match, MatchedTerm, compare, explain_match
from splade_anserini.explaining.search_result import ResultHit, SearchResult, search_result

__all__ = [
    "Comparison",
    "ExpandedToken",
    "Expansion",
    "Match",
    "MatchedTerm",
    "ResultHit",
    "SearchResult",
    "compare",
    "expand",
    "explain_match",
    "search_result",
]
