"""Impacts times a power of the idf that their tokens have in a collection."""

import math


def idf(documents: int, frequency: int) -> float:
    """Return log(1 + (N − n + 0.5) / (n + 0.5)), as Lucene's BM25 has it, of a token in n of N documents."""
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))
