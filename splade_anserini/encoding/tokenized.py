"""The base of encoders that have a tokenizer and a vocabulary: truncation, batches by length, names of entries."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from splade_anserini.artifacts.manifests import Batching, EncoderIdentity
from splade_anserini.encoding.options import WINDOW
from splade_anserini.encoding.origins import Origins, TokenSpan
from splade_anserini.encoding.protocol import Entries
from splade_anserini.encoding.truncation import TruncationCounts
from splade_anserini.modeling.token_batches import TokenBatch, padded, positions_by_length
from splade_anserini.modeling.vocabulary import masked_entries
from splade_anserini.records import SparseVector

if TYPE_CHECKING:
    from splade_anserini.encoding.matching import DocumentEncoder

NO_ENTRIES = Entries(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
"""The entries of a text without tokens."""


def split_by_text(
    text_count: int, rows: npt.NDArray[np.int64], ids: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]
) -> list[Entries]:
    """Split the active entries of a batch into one `Entries` per text; `rows`, ascending, is the text of each entry."""
    return split_at(np.searchsorted(rows, np.arange(1, text_count + 1)), ids, weights)


def split_at(
    ends: npt.NDArray[np.int64], ids: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]
) -> list[Entries]:
    """Split the active entries of a batch into one `Entries` per text; `ends` is where the entries of each text end."""
    stops: Sequence[int] = ends.tolist()
    return [Entries(ids[start:stop], weights[start:stop]) for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def _greatest(entries: Entries, count: int) -> Entries:
    """Return the entries of greatest weight, in the order that they have; of equal ones the first."""
    if len(entries.ids) <= count:
        return entries
    kept = np.sort(np.argsort(-entries.weights, kind="stable")[:count])
    return Entries(entries.ids[kept], entries.weights[kept])


class TokenFactors(NamedTuple):
    """Factors of a text's own tokens, to which its entries are limited."""

    fingerprint: str
    weights: npt.NDArray[np.float32]
    """[vocabulary]"""


def _of_own_tokens(entries: Entries, token_ids: npt.NDArray[np.int64], factors: npt.NDArray[np.float32]) -> Entries:
    """Return the entries that are tokens of the text, multiplied by the factors [vocabulary]."""
    own = np.isin(entries.ids, token_ids)
    ids = entries.ids[own]
    weights = entries.weights[own] * factors[ids]
    active = weights > 0
    return Entries(ids[active], weights[active])


def launched_ahead[Batch, Result](
    launch: Callable[[Batch], Callable[[], Result]], batches: Iterable[Batch], ahead: int
) -> Iterator[Result]:
    """Launch each batch, and yield the results in order, waiting for one when `ahead` more have been launched."""
    launched: deque[Callable[[], Result]] = deque()
    for batch in batches:
        launched.append(launch(batch))
        if len(launched) > ahead:
            yield launched.popleft()()
    while launched:
        yield launched.popleft()()


def no_entries(batch: TokenBatch) -> list[Entries]:
    """Return the entries of a batch of texts without tokens."""
    return [NO_ENTRIES for _ in batch.positions]


class TokenizedEncoder:
    """An `Encoder` whose subclasses turn batches of token ids into active entries.

    A batch holds at most `batch_size` texts and, with `max_tokens`, at most that many tokens, padding included.
    With `enough_tokens`, a batch that has so many ends where texts become much shorter. `window` is the number of texts
    that should be prepared together.
    The prompt of the identity is put before every text; of each vector, its `max_active_dims` greatest weights stay.
    """

    _token_factors: TokenFactors | None = None
    """If a subclass sets them, a vector has entries for the text's own tokens only."""

    def __init__(
        self,
        identity: EncoderIdentity,
        tokenizer: Tokenizer,
        vocabulary: Sequence[str],
        *,
        max_length: int,
        batch_size: int,
        max_tokens: int | None = None,
        enough_tokens: int | None = None,
        window: int = WINDOW,
    ) -> None:
        self.document_encoder: DocumentEncoder | None = None
        """For queries: the encoder of the documents to which this one belongs; see `open_query_encoder`."""
        self._identity = identity
        self._max_length = max_length
        self._batch_size = batch_size
        self._max_tokens = max_tokens
        self._enough_tokens = enough_tokens
        self._window = window
        # Set once: a call fails when another thread changes the tokenizer's settings in the meantime.
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        self._tokenizer = tokenizer
        self._added_tokens = tokenizer.num_special_tokens_to_add(is_pair=False)
        self._prompt_ids = tokenizer.encode(identity.prompt).ids if identity.prompt else None
        self._tokens: npt.NDArray[Any] = np.array(vocabulary, dtype=object)

    @property
    def identity(self) -> EncoderIdentity:
        """Fingerprints of weights, tokenizer and vocabulary."""
        return self._identity

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read, special tokens included."""
        return self._max_length

    @property
    def tokens(self) -> npt.NDArray[Any]:
        """The vocabulary: strings, by id."""
        return self._tokens

    @property
    def masked(self) -> frozenset[str]:
        """Tokens whose weight is 0 by design: special tokens, and those that Lucene cannot hold."""
        names: list[str] = self._tokens.tolist()
        return frozenset(names[token_id] for token_id in masked_entries(self._tokenizer, len(names)))

    @property
    def batching(self) -> Batching | None:
        """The size of batches, where the last bits of weights depend on it; else None."""
        return Batching(texts=self._batch_size, tokens=self._max_tokens)

    @property
    def window(self) -> int:
        """Texts that should be prepared together, sorted by length."""
        return self._window

    def encode(self, texts: Sequence[str], truncation: TruncationCounts | None = None) -> list[SparseVector]:
        """Return one vector per text, in order. A text that has only special tokens has an empty vector.

        Texts that are cut at the maximum length are added to `truncation`.
        """
        vectors: list[SparseVector] = [{} for _ in texts]
        batches = self.prepare(texts, truncation)
        for batch, rows in zip(batches, self.run(batches), strict=True):
            for position, entries in zip(batch.positions, rows, strict=True):
                names, weights = self._tokens[entries.ids].tolist(), entries.weights.tolist()
                vectors[position] = dict(zip(names, weights, strict=True))
        return vectors

    def prepare(self, texts: Sequence[str], truncation: TruncationCounts | None = None) -> list[TokenBatch]:
        """Tokenize texts and group them into batches of similar length, the longest first.

        Texts that are cut at the maximum length are added to `truncation`.
        """
        prompt = self._identity.prompt
        encodings = self._tokenizer.encode_batch_fast([prompt + text for text in texts] if prompt else list(texts))
        if truncation is not None:
            truncation.add(encodings, self._max_length, self._added_tokens)
        lengths = [0 if self._is_empty(encoding) else len(encoding.ids) for encoding in encodings]
        return [
            self._batch(positions, encodings, lengths[positions[0]])
            for positions in positions_by_length(lengths, self._batch_size, self._max_tokens, self._enough_tokens)
        ]

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[list[Entries]]:
        """Yield the entries of each batch's texts, in order: those of own tokens, at most `max_active_dims`."""
        count, factors = self._identity.max_active_dims, self._token_factors
        if count is None and factors is None:
            yield from self._run(batches)
            return
        batches = list(batches)
        for batch, rows in zip(batches, self._run(batches), strict=True):
            pairs = zip(rows, batch.ids, strict=True)
            kept = rows if factors is None else [_of_own_tokens(row, ids, factors.weights) for row, ids in pairs]
            yield kept if count is None else [_greatest(entries, count) for entries in kept]

    def origins(self, text: str) -> Origins:
        """Return from which token of a text each active entry comes, see `Origins`."""
        (batch,) = self.prepare([text])
        ((entries,),) = self.run([batch])
        (ids,) = batch.ids
        tokens = tuple(str(token) for token in self._tokens[ids]) if ids.size else ()
        if not entries.ids.size:
            return Origins(tokens, {})
        contributions = self._contributions(batch, entries.ids)
        if contributions is None:
            return Origins(tokens, {})
        sources = contributions.argmax(axis=0).tolist()
        return Origins(tokens, dict(zip(self._tokens[entries.ids].tolist(), sources, strict=True)))

    def spans(self, text: str) -> list[TokenSpan]:
        """Return all tokens of a text with their places, also those after the maximum length; no special tokens."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return [
            TokenSpan(str(self._tokens[token_id]), start, stop)
            for part in (encoding, *encoding.overflowing)
            for token_id, (start, stop) in zip(part.ids, part.offsets, strict=True)
            if stop > start
        ]

    def _contributions(self, batch: TokenBatch, entry_ids: npt.NDArray[np.int64]) -> npt.NDArray[Any] | None:
        """Return what each token of the only text of a batch contributes to entries: [length, entries].

        None when that cannot be seen.
        """
        raise NotImplementedError

    def _is_empty(self, encoding: Encoding) -> bool:
        """Return whether a text has only special tokens and those of the prompt; a model expands even these."""
        if self._prompt_ids is not None:
            return encoding.ids == self._prompt_ids
        return len(encoding) <= self._added_tokens and all(encoding.special_tokens_mask)

    def _batch(self, positions: list[int], encodings: Sequence[Encoding], length: int) -> TokenBatch:
        return TokenBatch(positions, *padded([encodings[position].ids[:length] for position in positions], length))

    def _run(self, batches: Iterable[TokenBatch]) -> Iterator[list[Entries]]:
        """Yield all entries of each batch's texts, in order."""
        for batch in batches:
            yield self._entries(batch)

    def _entries(self, batch: TokenBatch) -> list[Entries]:
        """Return the entries of each text of a batch; a batch of length 0 has none."""
        raise NotImplementedError
