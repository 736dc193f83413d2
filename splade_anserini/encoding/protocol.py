"""The interface of encoders, and an encoder by dictionary that specifies it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from splade_anserini.artifacts.fingerprints import fingerprint_of_bytes, fingerprint_of_vocabulary
from splade_anserini.artifacts.manifests import EncoderIdentity
from splade_anserini.modeling.token_batches import TokenBatch
from splade_anserini.records import SparseVector


@runtime_checkable
class Encoder(Protocol):
    """Texts to sparse vectors: token → weight, log(1 + ReLU(logit)) pooled over the text (SPLADE v2, section 3).

    Encoders are safe to share between threads.
    """

    @property
    def identity(self) -> EncoderIdentity:
        """Fingerprints of the weights, the tokenizer and the vocabulary, which manifests record."""
        ...

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read, special tokens included; the rest is cut off."""
        ...

    def encode(self, texts: Sequence[str]) -> list[SparseVector]:
        """Return one vector per text, in order; all weights are above 0.

        The vector of a text without active entries is empty. A text's vector does not depend on the texts beside it,
        up to rounding in the last bits.
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
    """An encoder whose work can be split between threads: preparing batches, running the model, naming the entries."""

    @property
    def tokens(self) -> npt.NDArray[Any]:
        """The vocabulary: strings, by id."""
        ...

    @property
    def window(self) -> int:
        """Texts that should be prepared together: the more, the more similar the lengths within a batch."""
        ...

    def prepare(self, texts: Sequence[str]) -> list[TokenBatch]:
        """Return batches that hold every text once."""
        ...

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[list[Entries]]:
        """Yield the entries of each batch's texts, in order."""
        ...


class DictionaryEncoder:
    """An `Encoder` without a model, for tests and examples: it looks up each word of a text.

    `expansions` is word → (token → weight). The weight of a token is the maximum over the words of the text, which are
    separated by white space; words without an expansion are ignored.
    """

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
        """Return one vector per text, in order."""
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> SparseVector:
        vector: dict[str, float] = {}
        for word in text.split()[: self._max_length]:
            for token, weight in self._expansions.get(word, {}).items():
                vector[token] = max(weight, vector.get(token, 0.0))
        return vector
