"""The output layer and the pooling in one: the logits of all tokens at once are never there.

Shapes: hidden states [batch, length, width], mask [batch, length] with 0 at padding, weights [batch, vocabulary].
"""

from collections.abc import Callable

import torch

from splade_anserini.modeling.activation import saturate
from splade_anserini.modeling.packed_linear import laid_out
from splade_anserini.modeling.pooling import norm_pool, sum_pool
from splade_anserini.records import Pooling

PIECE = 1024
"""Entries of the vocabulary that are projected at a time: of a few thousand tokens, their logits stay in cache."""


class Projection:
    """Hidden states → weights: the logits `hidden @ table.T + bias`, pooled, a piece of the vocabulary at a time.

    The products are computed in `dtype`; bias, activation and sums are in float32.
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
        constants = torch.zeros(len(table), device=table.device) if bias is None else bias.to(torch.float32, copy=True)
        self._pieces = [
            (laid_out(rows.to(dtype)), added)
            for rows, added in zip(torch.split(table, piece), torch.split(constants, piece), strict=True)
        ]

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return float32 weights. Every text must have a token that is none of padding."""
        batch, length, width = hidden.shape
        if self._pooling == "max":
            hidden = filled(hidden, mask)
        pooled = _POOLED[self._pooling]
        rows = hidden.to(self._dtype).reshape(-1, width)
        return torch.cat(
            [pooled(product(rows).view(batch, length, -1), bias, mask) for product, bias in self._pieces], dim=1
        )


def filled(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Give padding the hidden state of a token of the same text: it then changes no maximum."""
    if bool(mask.all()):
        return hidden
    texts = torch.arange(len(mask), device=mask.device)
    token = hidden[texts, mask.argmax(dim=1)]
    return torch.where(mask.unsqueeze(-1) == 0, token.unsqueeze(1), hidden)


def _greatest(products: torch.Tensor, bias: torch.Tensor, _mask: torch.Tensor) -> torch.Tensor:
    # Adding the bias is monotone too: it waits for the maxima, as the activation does.
    return saturate(products.amax(dim=1).float() + bias)


def _summed(products: torch.Tensor, bias: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return sum_pool(products.float() + bias, mask)


def _normed(products: torch.Tensor, bias: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return norm_pool(products.float() + bias, mask)


_POOLED: dict[Pooling, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "max": _greatest,
    "sum": _summed,
    "norm": _normed,
}
"""Products without their bias, [batch, length, piece], bias and mask → weights of a piece."""
