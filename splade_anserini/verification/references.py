"""What an encoder is compared with, and the texts that are encoded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import batched
from typing import Protocol

from splade_anserini.records import Side, SparseVector
from splade_anserini.verification.reference_vectors import SIDES, ReferenceVector
from splade_anserini.verification.texts import TEXTS

_BATCH = 32


class Reference(Protocol):
    """Another way to encode the same texts."""

    @property
    def name(self) -> str:
        """Its name, for the report."""
        ...

    def encode(self, texts: Sequence[str], side: Side) -> Sequence[SparseVector]:
        """Return the vector of each text."""
        ...


def numbered(texts: Iterable[str] = TEXTS) -> dict[str, str]:
    """Return texts by id, "text 1" and so on; by default those that an encoder is verified with."""
    return {f"text {number}": text for number, text in enumerate(texts, 1)}


def vectors_of_reference(reference: Reference, texts: Mapping[str, str]) -> Iterator[ReferenceVector]:
    """Yield the vectors that a reference gives texts as documents and as queries, encoding a batch at a time."""
    for batch in batched(texts.items(), _BATCH):
        for side in SIDES:
            vectors = reference.encode([text for _, text in batch], side)
            for (id_, text), vector in zip(batch, vectors, strict=True):
                yield ReferenceVector(id_, text, side, vector)
