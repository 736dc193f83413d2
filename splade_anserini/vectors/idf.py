"""Impacts times a power of the idf that their tokens have in a collection."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from splade_anserini.records import ImpactVector


def idf(documents: int, frequency: int) -> float:
    """Return log(1 + (N − n + 0.5) / (n + 0.5)), as Lucene's BM25 has it, of a token in n of N documents."""
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))


def multiplied(vector: ImpactVector, factors: Mapping[str, float]) -> ImpactVector:
    """Return a vector with each impact times the factor of its token, rounded to the nearest integer, halves to even.

    Tokens without a factor, and those whose impact becomes 0, are left out.
    """
    products = ((token, round(impact * factors.get(token, 0.0))) for token, impact in vector.items())
    return {token: impact for token, impact in products if impact}


@dataclass(frozen=True)
class CollectionIdf:
    """The idf of all tokens of a collection, to the power of `alpha`."""

    alpha: float
    documents: int
    """Documents with at least one entry: those that an index counts."""
    frequencies: Mapping[str, int]
    """Token → number of documents with it, at least 1."""

    @cached_property
    def factors(self) -> dict[str, float]:
        """Token → idf^alpha."""
        powers = {n: idf(self.documents, n) ** self.alpha for n in set(self.frequencies.values())}
        return {token: powers[n] for token, n in self.frequencies.items()}

    def weighted(self, vector: ImpactVector) -> dict[str, int]:
        """Return a vector with each impact times idf^alpha, rounded to the nearest integer, halves to the even one.

        Entries that become 0 are left out. Raises `KeyError` for a token that no document has.
        """
        factors = np.fromiter(map(self.factors.__getitem__, vector), np.float64, len(vector))
        impacts = np.fromiter(vector.values(), np.float64, len(vector))
        # rint rounds halves to even, as Python's round does.
        products: list[int] = np.rint(impacts * factors).astype(np.int64).tolist()
        return {token: product for token, product in zip(vector, products, strict=True) if product}

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of all tokens with their numbers of documents, in the order of the tokens."""
        return fingerprint_of_frequencies(self.frequencies.items())


def fingerprint_of_frequencies(frequencies: Iterable[tuple[str, int]]) -> str:
    """Return the SHA-256 of tokens and their numbers of documents, a line each, in the order of the tokens."""
    digest = hashlib.sha256()
    for token, frequency in sorted(frequencies):
        digest.update(f"{token}\t{frequency}\n".encode())
    return digest.hexdigest()
