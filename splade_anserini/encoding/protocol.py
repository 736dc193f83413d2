"""The seam between texts and vectors, and its executable specification."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes, fingerprint_of_vocabulary
from splade_anserini.artifacts.manifests import EncoderIdentity
from splade_anserini.encoding.batches import Batch
from splade_anserini.records import SparseVector


@runtime_checkable
class Encoder(Protocol):
    """Texts → sparse vectors. Safe to share between threads."""

    @property
    def identity(self) -> EncoderIdentity:
        """Fingerprints of what encodes, for manifests."""
        ...

    @property
    def max_length(self) -> int:
        """Where texts are cut, in tokens, special tokens counted."""
        ...

    def encode(self, texts: Sequence[str]) -> list[SparseVector]:
        """Return one vector per text, in order; a text without any active entry has an empty one.

        A text's vector does not depend on the texts beside it.
        """
        ...


class Entries(NamedTuple):
    """The active entries of one text."""

    ids: npt.NDArray[np.int64]
    """[active], ascending."""
    weights: npt.NDArray[np.float32]
    """[active], above 0."""


@runtime_checkable
class StagedEncoder(Encoder, Protocol):
    """An encoder that `encode` can give to several threads: one prepares, one runs the model, one names the entries."""

    @property
    def tokens(self) -> npt.NDArray[Any]:
        """The vocabulary: strings, by id."""
        ...

    def prepare(self, texts: Sequence[str]) -> list[Batch]:
        """Return batches that hold every text once."""
        ...

    def run(self, batches: Iterable[Batch]) -> Iterator[list[Entries]]:
        """Yield the entries of each batch's texts, in order."""
        ...


class DictionaryEncoder:
    """An encoder that knows each word's expansion by heart: the weights of a text are the maxima over its words."""

    def __init__(self, expansions: Mapping[str, SparseVector], *, max_length: int = 256) -> None:
        self._expansions = expansions
        self._max_length = max_length
        contents = sorted((word, sorted(vector.items())) for word, vector in expansions.items())
        self._identity = EncoderIdentity(
            name="dictionary",
            weights=fingerprint_of_bytes(repr(contents).encode()),
            tokenizer=fingerprint_of_bytes(b"str.split"),
            vocabulary=fingerprint_of_vocabulary(sorted({token for _, vector in contents for token, _ in vector})),
            pooling="max",
            precision="fp32",
        )

    @property
    def identity(self) -> EncoderIdentity:
        """Fingerprints of the dictionary."""
        return self._identity

    @property
    def max_length(self) -> int:
        """Words of a text that are read."""
        return self._max_length

    def encode(self, texts: Sequence[str]) -> list[SparseVector]:
        """Look each word up and keep the greatest weight of every entry."""
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> SparseVector:
        vector: dict[str, float] = {}
        for word in text.split()[: self._max_length]:
            for token, weight in self._expansions.get(word, {}).items():
                vector[token] = max(weight, vector.get(token, 0.0))
        return vector
