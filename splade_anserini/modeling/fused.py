"""SPLADE for inference: the weights of `Splade`, up to rounding, in a fraction of its time and memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from splade_anserini.modeling.attention_mask import attention_mask_for
from splade_anserini.modeling.buffered_projection import BufferedProjection
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.headless import convert, cut_output_layer, shared_copy
from splade_anserini.modeling.packed_linear import can_pack, pack
from splade_anserini.modeling.precision import keep_head_in_float32
from splade_anserini.modeling.projection import Projection
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.text_attention import Hidden, attend_by_text
from splade_anserini.modeling.vocabulary import masked_entries
from splade_anserini.records import Aggregation

type Forward = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
"""int64 ids and mask, [batch, length], to float32 weights [batch, vocabulary]; None is a mask without padding."""


@dataclass(frozen=True, slots=True)
class FastForward:
    """A checkpoint's SPLADE as a function, and what is known of it."""

    run: Forward
    logits: Forward
    """Logits [batch, length, vocabulary] instead of weights."""
    is_independent: bool = False
    """Whether the weights of a text are the same, to the last bit, whatever the texts beside it."""

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return float32 weights [batch, vocabulary]."""
        return self.run(ids, mask)


def fast_forward(
    checkpoint: Checkpoint,
    aggregation: Aggregation,
    dtype: torch.dtype,
    device: torch.device,
    *,
    asynchronous: bool | None = None,
) -> FastForward:
    """Return the checkpoint's SPLADE as a function that computes in `dtype`; the head's transform stays in float32.

    The checkpoint's model is not changed. A model that does not end in a plain linear layer runs without the shortcut.
    An `asynchronous` function, the default on CUDA, returns before the device has computed anything.
    """
    asynchronous = device.type == "cuda" if asynchronous is None else asynchronous
    model = shared_copy(checkpoint.model)
    layer = cut_output_layer(model)
    if dtype != torch.float32:
        keep_head_in_float32(model)
    if layer is None:
        return FastForward(
            _plain_forward(model, checkpoint, aggregation, dtype, device),
            lambda ids, mask: _plain_hidden(model)(ids, torch.ones_like(ids) if mask is None else mask),
        )
    if device.type == "cpu" and not asynchronous:
        # In float32, the head's layers too: each row of a packed layer is the same whatever the rows beside it.
        pack(model if dtype == torch.float32 else model.base_model, dtype)
    convert(model, device, dtype)
    table = layer.weight.detach().to(device)
    bias = None if layer.bias is None else layer.bias.detach().to(device)
    masked = torch.tensor(masked_entries(checkpoint.tokenizer, checkpoint.vocabulary_size)).to(device)

    def logits(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        states = _plain_hidden(model)(ids, torch.ones_like(ids) if mask is None else mask)
        products = states.float() @ table.float().T
        return products if bias is None else products + bias.float()

    if asynchronous:
        buffered = BufferedProjection(table, bias, aggregation, dtype=dtype)
        return FastForward(_asynchronous_forward(model, buffered, masked, dtype), logits)
    weights = Projection(table, bias, aggregation, dtype=dtype)
    by_text = attend_by_text(model) if device.type == "cpu" and dtype == torch.float32 else None
    hidden = by_text or _plain_hidden(model)

    def forward(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        mask = torch.ones_like(ids) if mask is None else mask
        return weights(hidden(ids, mask), mask).index_fill_(1, masked, 0.0)

    return FastForward(forward, logits, is_independent=by_text is not None and can_pack(dtype))


def _plain_hidden(model: Any) -> Hidden:
    def hidden(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        return states

    return hidden


def _asynchronous_forward(model: Any, weights: BufferedProjection, masked: torch.Tensor, dtype: torch.dtype) -> Forward:
    attention_mask = attention_mask_for(model, dtype)

    def forward(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        hidden = model(input_ids=ids, attention_mask=attention_mask(ids, mask)).logits
        return weights(hidden, mask).index_fill_(1, masked, 0.0)

    return forward


def _plain_forward(
    model: Any, checkpoint: Checkpoint, aggregation: Aggregation, dtype: torch.dtype, device: torch.device
) -> Forward:
    convert(model, device, torch.float32)
    splade = Splade(model, masked_entries(checkpoint.tokenizer, checkpoint.vocabulary_size), aggregation).to(device)

    def forward(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        mask = torch.ones_like(ids) if mask is None else mask.long()
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            weights: torch.Tensor = splade(ids, mask)
        return weights.float()

    return forward
