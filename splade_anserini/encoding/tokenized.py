"""What encoders over a tokenizer and a vocabulary share: cutting, batching by length, and naming the entries."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from splade_anserini.artifacts.manifests import EncoderIdentity
from splade_anserini.encoding.batches import Batch, positions_by_length
from splade_anserini.encoding.protocol import Entries
from splade_anserini.modeling.padding import padded
from splade_anserini.records import SparseVector


class TokenizedEncoder:
    """An encoder whose subclasses turn batches of token ids into active entries.

    A batch holds at most `batch_size` texts and, with `tokens`, at most that many tokens, padding counted.
    """

    def __init__(
        self,
        identity: EncoderIdentity,
        tokenizer: Tokenizer,
        vocabulary: Sequence[str],
        *,
        max_length: int,
        batch_size: int,
        tokens: int | None = None,
    ) -> None:
        self._identity = identity
        self._max_length = max_length
        self._batch_size = batch_size
        self._budget = tokens
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

    @property
    def tokens(self) -> npt.NDArray[Any]:
        """The vocabulary: strings, by id."""
        return self._tokens

    def encode(self, texts: Sequence[str]) -> list[SparseVector]:
        """Return one vector per text, in order. A text of no tokens but special ones has an empty vector."""
        vectors: list[SparseVector] = [{} for _ in texts]
        batches = self.prepare(texts)
        for batch, rows in zip(batches, self.run(batches), strict=True):
            for position, entries in zip(batch.positions, rows, strict=True):
                names, weights = self._tokens[entries.ids].tolist(), entries.weights.tolist()
                vectors[position] = dict(zip(names, weights, strict=True))
        return vectors

    def prepare(self, texts: Sequence[str]) -> list[Batch]:
        """Tokenize texts and cut them into batches of similar length, the longest first."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        # A text of nothing but special tokens has no length: the model would expand nothing into something.
        lengths = [0 if all(encoding.special_tokens_mask) else len(encoding.ids) for encoding in encodings]
        return [
            self._batch(positions, encodings, lengths[positions[0]])
            for positions in positions_by_length(lengths, self._batch_size, self._budget)
        ]

    def run(self, batches: Iterable[Batch]) -> Iterator[list[Entries]]:
        """Yield the entries of each batch's texts, in order."""
        for batch in batches:
            yield self._entries(batch)

    def _batch(self, positions: list[int], encodings: Sequence[Encoding], length: int) -> Batch:
        return Batch(positions, *padded([encodings[position].ids[:length] for position in positions], length))

    def _entries(self, batch: Batch) -> list[Entries]:
        """Return the entries of a batch's texts; of a batch of length 0, none."""
        raise NotImplementedError
