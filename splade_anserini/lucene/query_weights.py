"""Impacts of queries times a power of the idf that their tokens have in an open index."""

from typing import Any

from splade_anserini.errors import InputError
from splade_anserini.lucene.document_idf import document_idf_in
from splade_anserini.lucene.frequencies import frequencies_in
from splade_anserini.lucene.java.java_errors import java_errors
from splade_anserini.lucene.java.threads import JAVA_LOCK
from splade_anserini.lucene.lucene_searcher import LuceneSearcher
from splade_anserini.records import ImpactVector
from splade_anserini.vectors.idf import idf, multiplied

LARGEST_SCORE = 1 << 24
"""Lucene's scores are float32, which holds all integers up to this one."""

GREATEST_POWER = 10
"""As of --query-idf."""


class QueryWeights:
    """Multiplies the impacts of queries by idf^`alpha` of their tokens; each token is looked up once.

    Raises `InputError` for a power that is not from 0 to 10.
    """

    def __init__(self, searcher: LuceneSearcher[Any], alpha: float) -> None:
        if not 0 <= alpha <= GREATEST_POWER:
            raise InputError(f"query_idf is {alpha:g}.", expected=f"a number from 0 to {GREATEST_POWER}")
        self.alpha = alpha
        self._searcher = searcher
        self._has_idf = bool(alpha or document_idf_in(searcher.directory))
        self._factors: dict[str, float] = {}

    def weighted(self, vector: ImpactVector) -> ImpactVector:
        """Return a query with each impact times idf^alpha, rounded to the nearest integer, halves to the even one.

        Tokens that no document contains, and those whose impact becomes 0, are left out. With 0 it is the query itself.
        """
        if not self.alpha:
            return vector
        if missing := [token for token in vector if token not in self._factors]:
            self._look_up(missing)
        return multiplied(vector, self._factors)

    def check_score(self, query: str, score: float) -> None:
        """Raise `InputError` for the greatest score of a query from 2²⁴ up, if impacts are multiplied by idf."""
        if self._has_idf:
            check_exact(query, score)

    def _look_up(self, tokens: list[str]) -> None:
        with JAVA_LOCK, java_errors("counting documents"):
            documents, frequencies = frequencies_in(self._searcher.lucene, tokens)
        self._factors |= {
            token: idf(documents, frequency) ** self.alpha if frequency else 0.0
            for token, frequency in frequencies.items()
        }


def check_exact(query: str, score: float) -> None:
    """Raise `InputError` for a score from 2²⁴ up, which float32 may have rounded."""
    if score >= LARGEST_SCORE:
        raise InputError(
            f"Query {query!r} has a score of {score:,.0f}, which may have been rounded.",
            expected="integer scores below 2²⁴",
            do="Use a smaller power of idf, or a smaller --scale.",
        )
