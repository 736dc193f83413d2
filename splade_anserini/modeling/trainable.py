"""SPLADE for training: the weights of `Splade`, with gradients, and without the logits of all tokens."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.headless import cut_output_layer, shared_copy
from splade_anserini.modeling.precision import keep_head_in_float32
from splade_anserini.modeling.sparse_projection import sparse_projection
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.vocabulary import masked_entries
from splade_anserini.modeling.warm_start import OFF
from splade_anserini.records import Aggregation


class Group(NamedTuple):
    """Texts of similar length that go through the model together."""

    positions: torch.Tensor
    """[texts], int64: the position of each text in the batch."""
    ids: torch.Tensor
    """[texts, length], int64."""
    mask: torch.Tensor
    """[texts, length], int64, 0 at padding."""


class TrainableSplade(torch.nn.Module):
    """Groups of token ids to weights [texts, vocabulary]; its parameters are those of the checkpoint's model.

    `dtype` is the precision of matrix products; weights are float32. The entries of special tokens always have weight
    0: where the output layer has a bias, it is set to `OFF` for them in the checkpoint's model.
    """

    def __init__(self, checkpoint: Checkpoint, aggregation: Aggregation, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._aggregation = aggregation
        self._dtype = dtype
        self._vocabulary_size = checkpoint.vocabulary_size
        masked = masked_entries(checkpoint.tokenizer, checkpoint.vocabulary_size)
        layer = checkpoint.model.get_output_embeddings()
        with torch.no_grad():
            if getattr(layer, "bias", None) is not None:
                layer.bias[masked] = OFF
        body = shared_copy(checkpoint.model)
        self._layer = cut_output_layer(body)
        if dtype != torch.float32:
            keep_head_in_float32(body)
        # Without a plain output layer, all logits are computed and then pooled.
        self._body = body if self._layer is not None else Splade(body, masked, aggregation)
        # Without a bias, only this masks the special tokens.
        self._masked: list[int] = masked if self._layer is not None and self._layer.bias is None else []

    @property
    def vocabulary_size(self) -> int:
        """Entries of a vector."""
        return self._vocabulary_size

    @property
    def output_bias(self) -> torch.nn.Parameter | None:
        """The bias of the output layer, which changes the sparsity of all texts at once."""
        return None if self._layer is None else self._layer.bias

    def forward(self, groups: Iterable[Group]) -> torch.Tensor:
        """Return the weights of all texts of all groups, in the order of their positions."""
        groups = list(groups)
        # One autocast context for all groups, so that parameters are converted once and not for each group.
        with torch.autocast(groups[0].ids.device.type, self._dtype, enabled=self._dtype != torch.float32):
            parts = [(group.positions, self._weights(group)) for group in groups]
        order = torch.cat([positions for positions, _ in parts]).argsort()
        return torch.cat([weights for _, weights in parts])[order]

    def _weights(self, group: Group) -> torch.Tensor:
        if self._layer is None:
            weights: torch.Tensor = self._body(group.ids, group.mask)
            return weights.float()
        with _attention(group.ids.device):
            hidden: Any = self._body(input_ids=group.ids, attention_mask=group.mask).logits
        weights = sparse_projection(hidden.float(), group.mask, self._layer, self._aggregation, self._dtype)
        if self._masked:
            weights[:, self._masked] = 0.0
        return weights


@contextmanager
def _attention(device: torch.device) -> Iterator[None]:
    """Attention as it is fastest with its backward pass: on CPUs, plain matrix products in the precision of the rest.

    There, the backward pass of torch's fused attention takes twice as long at passage lengths, and plain attention
    of bfloat16 values would be computed in float32, which makes a step of training 1.4 times as long.
    """
    if device.type != "cpu":
        yield
        return
    backends: Any = torch.backends.cuda  # its functions have no types
    was_reduced = backends.fp16_bf16_reduction_math_sdp_allowed()
    backends.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        backends.allow_fp16_bf16_reduction_math_sdp(was_reduced)
