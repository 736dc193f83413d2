"""SPLADE for inference: the weights of `Splade`, up to rounding, in a fraction of its time and memory."""

from collections.abc import Callable
from typing import Any

import torch

from splade_anserini.modeling.attention_mask import attention_mask_for
from splade_anserini.modeling.buffered_projection import BufferedProjection
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.headless import convert, cut_output_layer, shared_copy
from splade_anserini.modeling.packed_linear import pack
from splade_anserini.modeling.precision import keep_head_in_float32
from splade_anserini.modeling.projection import Projection
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.vocabulary import masked_entries
from splade_anserini.records import Aggregation

type Forward = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
"""int64 ids and mask, [batch, length], to float32 weights [batch, vocabulary]; None is a mask without padding."""


def fast_forward(
    checkpoint: Checkpoint,
    aggregation: Aggregation,
    dtype: torch.dtype,
    device: torch.device,
    *,
    asynchronous: bool | None = None,
) -> Forward:
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
        return _plain_forward(model, checkpoint, aggregation, dtype, device)
    if device.type == "cpu" and not asynchronous:
        pack(model.base_model, dtype)
    convert(model, device, dtype)
    table = layer.weight.detach().to(device)
    bias = None if layer.bias is None else layer.bias.detach().to(device)
    masked = torch.tensor(masked_entries(checkpoint.tokenizer, checkpoint.vocabulary_size), device=device)
    if asynchronous:
        return _asynchronous_forward(model, BufferedProjection(table, bias, aggregation, dtype=dtype), masked, dtype)
    weights = Projection(table, bias, aggregation, dtype=dtype)

    def forward(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        mask = torch.ones_like(ids) if mask is None else mask
        result = weights(model(input_ids=ids, attention_mask=mask).logits, mask)
        return result.index_fill_(1, masked, 0.0)

    return forward


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
