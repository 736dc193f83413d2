"""Output layer and pooling together, for inference: the logits of all tokens are never held at once.

Shapes: hidden states [batch, length, width], mask [batch, length] with 0 at padding, weights [batch, vocabulary].
"""

import torch

from splade_anserini.modeling.packed_linear import packed_product
from splade_anserini.modeling.pooling import pool, saturate
from splade_anserini.records import Aggregation

PIECE = 1024
"""Entries of the vocabulary that are projected at a time: the logits of a few thousand tokens then fit the cache."""


class Projection:
    """Hidden states to weights: the logits `hidden @ table.T + bias`, pooled, one piece of the vocabulary at a time.

    Products are computed in `dtype`; bias, activation and sums in float32.
    """

    def __init__(
        self,
        table: torch.Tensor,
        bias: torch.Tensor | None,
        aggregation: Aggregation,
        *,
        dtype: torch.dtype = torch.float32,
        piece: int = PIECE,
    ) -> None:
        self._dtype = dtype
        self._aggregation = aggregation
        biases = torch.zeros(len(table), device=table.device) if bias is None else bias.to(torch.float32, copy=True)
        self._pieces = [
            (packed_product(rows.to(dtype)), piece_bias)
            for rows, piece_bias in zip(torch.split(table, piece), torch.split(biases, piece), strict=True)
        ]

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return float32 weights. Every text must have a token that is not padding."""
        batch, length, width = hidden.shape
        if self._aggregation.pooling == "max":
            hidden = fill_padding(hidden, mask)
        # Reading values from a GPU would wait for it.
        lengths = None if self._aggregation.pooling == "max" or mask.device.type != "cpu" else mask.sum(dim=1).tolist()
        rows = hidden.to(self._dtype).reshape(-1, width)
        pieces = [
            self._pooled(product(rows).view(batch, length, -1), bias, mask, lengths) for product, bias in self._pieces
        ]
        return torch.cat(pieces, dim=1)

    def _pooled(
        self, products: torch.Tensor, bias: torch.Tensor, mask: torch.Tensor, lengths: list[int] | None
    ) -> torch.Tensor:
        """Return the weights of a piece from its products, [batch, length, piece], without bias."""
        if self._aggregation.pooling == "max":
            # Adding the bias is monotone, as the activation is: both are applied to the maxima.
            return saturate(products.amax(dim=1).float() + bias, self._aggregation.activation)
        if lengths is None:
            return pool(products.float() + bias, mask, self._aggregation)
        # One text at a time, without padding: the order of a sum would depend on the padded length.
        texts = [
            pool(products[text : text + 1, :length].float() + bias, mask[text : text + 1, :length], self._aggregation)
            for text, length in enumerate(lengths)
        ]
        return torch.cat(texts)


def fill_padding(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Replace the hidden states of padding by that of a token of the same text, which changes no maximum."""
    # Reading a value from a GPU would wait for it; there, replacing nothing costs less.
    if mask.device.type == "cpu" and bool(mask.all()):
        return hidden
    return replace_padding(hidden, mask)


def replace_padding(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Do the same as `fill_padding`, without looking whether there is any padding."""
    texts = torch.arange(len(mask), device=mask.device)
    token = hidden[texts, mask.long().argmax(dim=1)]
    return torch.where(mask.unsqueeze(-1) == 0, token.unsqueeze(1), hidden)
