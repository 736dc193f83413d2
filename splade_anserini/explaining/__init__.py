"""Why a document is found: expansions of texts, and scores term by term."""

from splade_anserini.explaining.expansion import ExpandedToken, Expansion, expand
from splade_anserini.explaining.match import Comparison, Match, MatchedTerm, compare, explain_match

__all__ = [
    "Comparison",
    "ExpandedToken",
    "Expansion",
    "Match",
    "MatchedTerm",
    "compare",
    "expand",
    "explain_match",
]
