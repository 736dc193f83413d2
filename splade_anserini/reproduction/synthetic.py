"""Pseudo-documents and queries that are made up, to index and to search for a moment."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from splade_anserini.records import ImpactDocument, ImpactVector

VOCABULARY = 30_000
"""Tokens of BERT, without those that no text has."""
_OFFSET = 50
"""The commonest tokens of SPLADE's vectors are less common than the commonest words."""
_MEAN_IMPACT = 60
_DRAWS = 2
"""For each entry that is wanted, as tokens may come twice."""


@dataclass(frozen=True, slots=True)
class Pool:
    """What vectors are drawn from."""

    tokens: tuple[str, ...]
    shares: npt.NDArray[np.float64]
    """[tokens], cumulated: 1 at the end."""
    impacts: npt.NDArray[np.int64]
    """Drawn from for any token."""

    @classmethod
    def of(cls, vectors: Iterable[ImpactVector]) -> "Pool":
        """Return the pool of these vectors: tokens as common as in them, and impacts as strong."""
        held = list(vectors)
        counts = Counter(token for vector in held for token in vector)
        impacts = [impact for vector in held for impact in vector.values()]
        return cls(tuple(counts), _cumulated(np.array([*counts.values()], dtype=np.float64)), np.array(impacts))

    @classmethod
    def assumed(cls) -> "Pool":
        """Return a pool whose tokens are about as common as Zipf's law has them."""
        ranks = np.arange(1, VOCABULARY + 1, dtype=np.float64)
        impacts = np.ceil(np.random.default_rng(0).exponential(_MEAN_IMPACT, 5000)).astype(np.int64)
        return cls(tuple(f"t{rank:.0f}" for rank in ranks), _cumulated(1 / (ranks + _OFFSET)), impacts)

    def vectors(self, number: int, entries: float, seed: int) -> list[dict[str, int]]:
        """Draw so many vectors of about so many entries; fewer where the pool has too few tokens."""
        chance, most = np.random.default_rng(seed), max(1, round(entries))
        drawn: list[dict[str, int]] = []
        for _ in range(number):
            places = np.searchsorted(self.shares, chance.random(_DRAWS * most)).tolist()
            tokens = [self.tokens[place] for place in islice(dict.fromkeys(places), most)]
            drawn.append(dict(zip(tokens, chance.choice(self.impacts, len(tokens)).tolist(), strict=True)))
        return drawn


def documents(pool: Pool, number: int, entries: float) -> list[ImpactDocument]:
    """Make up documents; their ids have seven digits."""
    return [
        ImpactDocument(f"{1_000_000 + place}", vector) for place, vector in enumerate(pool.vectors(number, entries, 1))
    ]


def queries(pool: Pool, number: int, entries: float) -> Mapping[str, ImpactVector]:
    """Make up queries from the same tokens."""
    return {str(place): vector for place, vector in enumerate(pool.vectors(number, entries, 2))}


def _cumulated(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares = np.cumsum(weights) / weights.sum()
    shares[-1] = 1.0
    return shares
