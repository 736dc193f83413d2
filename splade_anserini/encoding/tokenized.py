"""What encoders over a tokenizer and a vocabulary share: cutting, batching by length, and naming the entries."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from splade_anserini.manifests import EncoderIdentity
from splade_anserini.records import SparseVector

type Weights = npt.NDArray[np.float32]
"""[batch, vocabulary], ≥ 0."""


class TokenizedEncoder:
    """An encoder whose subclasses turn a batch of token ids into weights."""

    def __init__(
        self,
        identity: EncoderIdentity,
        tokenizer: Tokenizer,
        vocabulary: Sequence[str],
        *,
        max_length: int,
        batch_size: int,
    ) -> None:
        self._identity = identity
        self._max_length = max_length
        self._batch_size = batch_size
        # Set once and never again: a tokenizer whose settings change under another thread's call fails.
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        self._tokenizer = tokenizer
        self._tokens: npt.NDArray[Any] = np.array(vocabulary, dtype=object)

    @property
    def identity(self) -> EncoderIdentity:
        """Fingerprints of weights, tokenizer and vocabulary."""
        return self._identity

    @property
    def max_length(self) -> int:
        """Where texts are cut, in tokens, special tokens counted."""
        return self._max_length

    def encode(self, texts: Sequence[str]) -> list[SparseVector]:
        """Return one vector per text, in order. A text of no tokens but special ones has an empty vector."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        vectors: list[SparseVector] = [{} for _ in texts]
        # Longest first: what does not fit into memory fails at once, and not at the end.
        order = sorted(
            (i for i, encoding in enumerate(encodings) if not all(encoding.special_tokens_mask)),
            key=lambda i: -len(encodings[i].ids),
        )
        batches = [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        outputs = self._weights_of([encodings[i] for i in batch] for batch in batches)
        for batch, weights in zip(batches, outputs, strict=True):
            for i, row in zip(batch, weights, strict=True):
                vectors[i] = self._vector(row)
        return vectors

    def _vector(self, row: npt.NDArray[np.float32]) -> SparseVector:
        active = np.flatnonzero(row > 0)
        return dict(zip(self._tokens[active].tolist(), row[active].tolist(), strict=True))

    def _weights_of(self, batches: Iterable[list[Encoding]]) -> Iterator[Weights]:
        """Yield the weights of each batch, in order."""
        for batch in batches:
            yield self._weights(*padded(batch))

    def _weights(self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]) -> Weights:
        """Return the weights of one padded batch of token ids, both arguments [batch, length]."""
        raise NotImplementedError


def padded(batch: Sequence[Encoding]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return token ids and attention mask, each [batch, length of the longest]; padding has id 0 and mask 0."""
    length = max(len(encoding.ids) for encoding in batch)
    ids = np.zeros((len(batch), length), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(batch):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return ids, mask
