"""Comparing the vectors of an encoder with reference vectors, entry by entry."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from splade_anserini.records import Side, SparseVector
from splade_anserini.vectors.quantization import rounded
from splade_anserini.verification.reference_vectors import ReferenceVector


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry whose weights differ."""

    id: str
    text: str
    side: Side
    token: str
    weight: float
    expected: float

    @property
    def size(self) -> float:
        """The difference, relative to the expected weight if that is above 1; infinite if a weight is not a number."""
        size = abs(self.weight - self.expected) / max(abs(self.expected), 1.0)
        return math.inf if math.isnan(size) else size

    def __str__(self) -> str:
        text = self.text if len(self.text) <= 40 else f"{self.text[:39]}…"
        return (
            f"{self.side} {self.id} ({text!r}), entry {self.token!r}: {self.weight:.6g} instead of {self.expected:.6g}"
        )


@dataclass(slots=True)
class Comparison:
    """What was compared of one side, and how much it differs. Texts are added one at a time."""

    side: Side
    scale: float
    """impact = round(weight × scale)."""
    masked: Collection[str] = frozenset()
    """Tokens whose weight is 0 by design, and which are not compared."""
    texts: int = 0
    empty: int = 0
    """Texts without tokens, which are not compared."""
    entries: int = 0
    """Entries that are active in either vector."""
    equal: int = 0
    """Those of them whose impacts are equal."""
    masked_entries: int = 0
    """Entries of the reference that are not compared."""
    greatest: Difference | None = None
    _differences: float = field(default=0.0, repr=False)
    _weights: float = field(default=0.0, repr=False)

    def add(self, reference: ReferenceVector, vector: SparseVector) -> None:
        """Compare the vector that the encoder gives a text."""
        self.texts += 1
        expected: SparseVector = {
            token: weight for token, weight in reference.vector.items() if not self._is_masked(token)
        }
        self.masked_entries += len(reference.vector) - len(expected)
        if not reference.complete:
            vector, expected = _strongest(vector, expected)
        tokens = [token for token in {**expected, **vector} if vector.get(token) or expected.get(token)]
        for token in tokens:
            difference = Difference(
                reference.id, reference.text, self.side, token, vector.get(token, 0.0), expected.get(token, 0.0)
            )
            # Not a number in one weight makes the sum so, which is within no bound.
            self._differences += abs(difference.weight - difference.expected)
            self._weights += abs(difference.expected)
            if self.greatest is None or difference.size > self.greatest.size:
                self.greatest = difference
        ours, theirs = ([weights.get(token, 0.0) for token in tokens] for weights in (vector, expected))
        self.entries += len(tokens)
        self.equal += int((rounded(ours, self.scale) == rounded(theirs, self.scale)).sum())

    @property
    def max_difference(self) -> float:
        """The greatest difference between two weights, relative to the expected weight if that is above 1."""
        return self.greatest.size if self.greatest else 0.0

    @property
    def mean_difference(self) -> float:
        """The sum of all differences, relative to the sum of all expected weights."""
        return self._differences / self._weights if self._weights else float(bool(self._differences))

    @property
    def equal_impacts(self) -> float:
        """Share of the entries whose impacts are equal."""
        return self.equal / self.entries if self.entries else 1.0

    def _is_masked(self, token: str) -> bool:
        # Rows of the model without a token have such names.
        return token in self.masked or token.startswith("[row ")


def _strongest(vector: SparseVector, expected: SparseVector) -> tuple[SparseVector, SparseVector]:
    """Return what a reference of the greatest weights says something of: its own entries, and greater ones.

    All other entries should weigh at most as much as its least.
    """
    least = min(expected.values(), default=0.0)
    greater = {token: weight for token, weight in vector.items() if token not in expected and weight > least}
    own = {token: weight for token, weight in vector.items() if token in expected}
    return {**own, **greater}, {**expected, **dict.fromkeys(greater, least)}
