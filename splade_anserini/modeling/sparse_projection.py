"""Output layer and pooling together, for training: the logits of all tokens are never held at once.

A piece of the vocabulary is projected at a time. With max pooling a weight depends on one token: the forward pass keeps
the active entries and the rows of their tokens, and the backward pass reads only these. With other poolings the
backward pass projects each piece again.

Shapes: hidden states [batch, length, width], mask [batch, length] with 0 at padding, table [vocabulary, width], bias
[vocabulary], weights [batch, vocabulary].
"""

from typing import Any, NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from splade_anserini.modeling.pooling import pool, saturate
from splade_anserini.modeling.projection import PIECE, fill_padding
from splade_anserini.records import Activation, Aggregation


def sparse_projection(
    hidden: torch.Tensor, mask: torch.Tensor, layer: torch.nn.Linear, aggregation: Aggregation, dtype: torch.dtype
) -> torch.Tensor:
    """Return the weights of the logits `layer(hidden)`, pooled over the text, in the precision of `hidden`.

    Products are computed in `dtype`; activation and sums in the precision of `hidden`, and with max pooling also the
    weights of active entries and their gradients. Every text must have a token that is not padding.
    """
    bias = torch.zeros_like(layer.weight[:, 0]) if layer.bias is None else layer.bias
    with torch.autocast(hidden.device.type, enabled=False):
        if aggregation.pooling == "max":
            filled = fill_padding(hidden, mask)
            weights: torch.Tensor = _MaxPooled.apply(filled, layer.weight, bias, aggregation.activation, dtype)
            return weights
        pieces = zip(torch.split(layer.weight, PIECE), torch.split(bias, PIECE), strict=True)
        return torch.cat(
            [checkpoint(_pooled, hidden, mask, *piece, aggregation, dtype, use_reentrant=False) for piece in pieces],
            dim=1,
        )


def _pooled(
    hidden: torch.Tensor,
    mask: torch.Tensor,
    rows: torch.Tensor,
    bias: torch.Tensor,
    aggregation: Aggregation,
    dtype: torch.dtype,
) -> torch.Tensor:
    products = (hidden.to(dtype) @ rows.to(dtype).T).to(hidden.dtype)
    return pool(products + bias, mask, aggregation)


class _Active(NamedTuple):
    """The active entries of a batch: for each its text, its vocabulary entry, and the row of its token."""

    texts: torch.Tensor
    entries: torch.Tensor
    rows: torch.Tensor


class _MaxPooled(torch.autograd.Function):
    """w_j = f(max_i h_i · E_j + b_j) with the activation f (SPLADE v2, section 3.1), and a sparse gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        table: torch.Tensor,
        bias: torch.Tensor,
        activation: Activation,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        active = _active(hidden, table, bias, dtype)
        rows = hidden.reshape(-1, hidden.shape[-1])
        logits = torch.cat(
            [
                torch.linalg.vecdot(rows[token_rows], table[entries])
                for token_rows, entries in zip(
                    torch.split(active.rows, _GATHERED), torch.split(active.entries, _GATHERED), strict=True
                )
            ]
        )
        # A logit that was above 0 in low precision may not be so in full precision.
        logits = (logits + bias[active.entries]).relu()
        ctx.activation = activation
        ctx.save_for_backward(hidden, table, logits, *active)
        weights = hidden.new_zeros(len(hidden), len(table))
        weights[active.texts, active.entries] = saturate(logits, activation)
        return weights

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, table, logits, texts, entries, rows = ctx.saved_tensors
        # The derivative of the activation, or 0 where the entry is not active in full precision.
        slopes = torch.where(logits > 0, gradients[0][texts, entries] / (1 + logits), 0.0)
        if ctx.activation == "log1p_relu":
            slopes = slopes / (1 + logits.log1p())
        flat = hidden.reshape(-1, hidden.shape[-1])
        of_hidden = _weighted_sums(table, entries, slopes, rows, len(flat)).view_as(hidden)
        of_table = _weighted_sums(flat, rows, slopes, entries, len(table))
        of_bias = torch.zeros_like(table[:, 0]).index_add_(0, entries, slopes)
        return of_hidden, of_table, of_bias, None, None


_GATHERED = 16384
"""Active entries whose vectors are gathered at a time."""


def _active(hidden: torch.Tensor, table: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype) -> _Active:
    tokens = hidden.to(dtype).reshape(-1, hidden.shape[-1])
    select = _active_in_pieces if hidden.device.type == "cpu" else _active_at_once
    return select(tokens, len(hidden), table, bias)


def _active_in_pieces(tokens: torch.Tensor, batch: int, table: torch.Tensor, bias: torch.Tensor) -> _Active:
    length = len(tokens) // batch
    along = torch.arange(length, device=tokens.device)
    pieces: list[_Active] = []
    for start in range(0, len(table), PIECE):
        products = (tokens @ table[start : start + PIECE].to(tokens.dtype).T).view(batch, length, -1)
        maxima = products.amax(dim=1).to(bias.dtype) + bias[start : start + PIECE]
        # NaN counts as active: a diverged model must not look like one with empty vectors.
        texts, entries = (~(maxima <= 0)).nonzero(as_tuple=True)
        # The token is looked up for active entries only; `take` reads a column many times faster than indexing.
        columns = texts * products[0].numel() + entries
        positions = products.take(columns.unsqueeze(1) + along * products.shape[2]).argmax(dim=1)
        pieces.append(_Active(texts, entries + start, texts * length + positions))
    return _Active(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))


def _active_at_once(tokens: torch.Tensor, batch: int, table: torch.Tensor, bias: torch.Tensor) -> _Active:
    """Do the same for a GPU, whose entries are selected once: each selection waits for the GPU."""
    length = len(tokens) // batch
    maxima, positions = [], []
    for rows in torch.split(table, PIECE):
        values, indices = (tokens @ rows.to(tokens.dtype).T).view(batch, length, -1).max(dim=1)
        maxima.append(values.to(bias.dtype))
        positions.append(indices.to(torch.int32))
    texts, entries = (~(torch.cat(maxima, dim=1) + bias <= 0)).nonzero(as_tuple=True)
    return _Active(texts, entries, texts * length + torch.cat(positions, dim=1)[texts, entries])


def _weighted_sums(
    vectors: torch.Tensor, sources: torch.Tensor, factors: torch.Tensor, targets: torch.Tensor, size: int
) -> torch.Tensor:
    """Return Σ factor · vectors[source] for each target, [size, width], without storing the single products."""
    order = targets.argsort()
    offsets = torch.searchsorted(targets[order], torch.arange(size, device=targets.device))
    return torch.nn.functional.embedding_bag(
        sources[order], vectors, offsets, mode="sum", per_sample_weights=factors[order]
    )
