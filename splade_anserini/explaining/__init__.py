"""Why a document is found: expansions of texts, and scores term by term."""

from splade_anserini.explaining.bm25 import Bm25Comparison, ComparedWord, compare_bm25
from splade_anserini.explaining.encoders import EncoderComparison, SharedToken, compare_encoders
from splade_anserini.explaining.expansion import ExpandedToken, Expansion, expand
from splade_anserini.explaining.match import Comparison, Match, MatchedTerm, compare, explain_match
from splade_anserini.explaining.search_result import ResultHit, SearchResult, search_result
from splade_anserini.explaining.vector import Vector

__all__ = [
    "Bm25Comparison",
    "ComparedWord",
    "Comparison",
    "EncoderComparison",
    "ExpandedToken",
    "Expansion",
    "Match",
    "MatchedTerm",
    "ResultHit",
    "SearchResult",
    "SharedToken",
    "Vector",
    "compare",
    "compare_bm25",
    "compare_encoders",
    "expand",
    "explain_match",
    "search_result",
]
