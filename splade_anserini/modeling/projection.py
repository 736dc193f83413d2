"""Output layer and pooling together, for inference: the logits of all tokens are never held at once.

Shapes: hidden states [batch, length, width], mask [batch, length] with 0 at padding, weights [batch, vocabulary].
"""

from collections.abc import Callable

import torch

from splade_anserini.modeling.packed_linear import packed_product
from splade_anserini.modeling.pooling import norm_pool, saturate, sum_pool
from splade_anserini.records import Pooling

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
        pooling: Pooling,
        *,
        dtype: torch.dtype = torch.float32,
        piece: int = PIECE,
    ) -> None:
        self._dtype = dtype
        self._pooling = pooling
        biases = torch.zeros(len(table), device=table.device) if bias is None else bias.to(torch.float32, copy=True)
        self._pieces = [
            (packed_product(rows.to(dtype)), piece_bias)
            for rows, piece_bias in zip(torch.split(table, piece), torch.split(biases, piece), strict=True)
        ]

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return float32 weights. Every text must have a token that is not padding."""
        batch, length, width = hidden.shape
        if self._pooling == "max":
            hidden = fill_padding(hidden, mask)
        pooled = _POOLED[self._pooling]
        rows = hidden.to(self._dtype).reshape(-1, width)
        return torch.cat(
            [pooled(product(rows).view(batch, length, -1), bias, mask) for product, bias in self._pieces], dim=1
        )


def fill_padding(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Replace the hidden states of padding by that of a token of the same text, which changes no maximum."""
    if bool(mask.all()):
        return hidden
    texts = torch.arange(len(mask), device=mask.device)
    token = hidden[texts, mask.argmax(dim=1)]
    return torch.where(mask.unsqueeze(-1) == 0, token.unsqueeze(1), hidden)


def _max_pooled(products: torch.Tensor, bias: torch.Tensor, _mask: torch.Tensor) -> torch.Tensor:
    # Adding the bias is monotone, as the activation is: both are applied to the maxima.
    return saturate(products.amax(dim=1).float() + bias)


def _sum_pooled(products: torch.Tensor, bias: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return sum_pool(products.float() + bias, mask)


def _norm_pooled(products: torch.Tensor, bias: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return norm_pool(products.float() + bias, mask)


_POOLED: dict[Pooling, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "max": _max_pooled,
    "sum": _sum_pooled,
    "norm": _norm_pooled,
}
"""Products without bias, [batch, length, piece], bias and mask to the weights of a piece."""
