"""Output layer and pooling together, for inference on a GPU: all logits pass through one small buffer.

A block of logits, of a few thousand tokens and a piece of the vocabulary, is written to the buffer and pooled from it
before the next one overwrites it. In half precision the buffer stays in the cache of the GPU. Nothing here waits for
the GPU.

Shapes: hidden states [batch, length, width], mask [batch, length] with 0 at padding, weights [batch, vocabulary].
"""

import torch

from splade_anserini.modeling.pooling import pool, saturate
from splade_anserini.modeling.projection import replace_padding
from splade_anserini.records import Aggregation

BLOCK_TOKENS, BLOCK_ENTRIES = 8192, 2048
"""Size of the buffer: 32 MB in half precision. Smaller blocks take longer to launch than to compute."""


class BufferedProjection:
    """Hidden states to weights: the logits `hidden @ table.T + bias`, pooled, one block at a time.

    Products and their maxima are computed in `dtype`; bias, activation and sums in float32.
    """

    def __init__(
        self,
        table: torch.Tensor,
        bias: torch.Tensor | None,
        aggregation: Aggregation,
        *,
        dtype: torch.dtype = torch.float32,
        block_tokens: int = BLOCK_TOKENS,
        block_entries: int = BLOCK_ENTRIES,
    ) -> None:
        self._dtype = dtype
        self._aggregation = aggregation
        self._vocabulary_size = len(table)
        self._bias = torch.zeros(len(table), device=table.device) if bias is None else bias.float()
        self._block_tokens = block_tokens
        self._block_entries = min(block_entries, len(table))
        pieces = torch.split(table.to(dtype), block_entries)
        starts = range(0, len(table), block_entries)
        self._pieces = [(start, start + len(piece), piece.T) for start, piece in zip(starts, pieces, strict=True)]

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return float32 weights; without `mask` there is no padding. Every text must have a token."""
        batch, length, _ = hidden.shape
        hidden = hidden.to(self._dtype)
        is_max = self._aggregation.pooling == "max"
        if is_max and mask is not None:
            hidden = replace_padding(hidden, mask)
        pooled = hidden.new_empty(batch, self._vocabulary_size, dtype=self._dtype if is_max else torch.float32)
        texts = max(1, min(batch, self._block_tokens // length))
        buffer = hidden.new_empty(texts * length * self._block_entries)
        for start in range(0, batch, texts):
            part = slice(start, start + texts)
            self._pool_block(hidden[part], None if mask is None else mask[part], pooled[part], buffer)
        # Adding the bias is monotone, as the activation is: both are applied to the maxima.
        if is_max:
            return saturate(pooled.float() + self._bias, self._aggregation.activation)
        return pooled

    def _pool_block(
        self, hidden: torch.Tensor, mask: torch.Tensor | None, pooled: torch.Tensor, buffer: torch.Tensor
    ) -> None:
        """Write the pooled logits of some texts into `pooled`; for max pooling, their maxima without bias."""
        batch, length, width = hidden.shape
        rows = hidden.reshape(-1, width)
        for start, stop, columns in self._pieces:
            logits = buffer[: len(rows) * (stop - start)].view(len(rows), stop - start)
            torch.mm(rows, columns, out=logits)
            of_texts = logits.view(batch, length, -1)
            if self._aggregation.pooling == "max":
                torch.amax(of_texts, dim=1, out=pooled[:, start:stop])
            else:
                pooled[:, start:stop] = pool(of_texts.float() + self._bias[start:stop], mask, self._aggregation)
