"""SPLADE for training: the numbers of `Splade`, with gradients, and without the logits of all tokens."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
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
from splade_anserini.records import Pooling


class Group(NamedTuple):
    """Texts of similar length that go through the model together."""

    positions: torch.Tensor
    """[texts], int64: which texts of the batch these are."""
    ids: torch.Tensor
    """[texts, length], int64."""
    mask: torch.Tensor
    """[texts, length], int64, 0 at padding."""


class TrainableSplade(torch.nn.Module):
    """Groups of token ids → weights [texts, vocabulary]; what it learns is in the checkpoint's own model.

    `dtype` is the precision of matrix products; weights are float32. Entries of special tokens are off for good.
    """

    def __init__(self, checkpoint: Checkpoint, pooling: Pooling, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._pooling: Pooling = pooling
        self._dtype = dtype
        self._vocabulary_size = checkpoint.vocabulary_size
        silenced = masked_entries(checkpoint.tokenizer, checkpoint.vocabulary_size)
        layer = checkpoint.model.get_output_embeddings()
        with torch.no_grad():
            if getattr(layer, "bias", None) is not None:
                layer.bias[silenced] = OFF
        body = shared_copy(checkpoint.model)
        self._layer = cut_output_layer(body)
        if dtype != torch.float32:
            keep_head_in_float32(body)
        # Without a plain output layer there is no short way: all logits, then pooling.
        self._body = body if self._layer is not None else Splade(body, silenced, pooling)
        # Without a bias, nothing but this turns the special tokens off.
        self._silenced: list[int] = silenced if self._layer is not None and self._layer.bias is None else []

    @property
    def vocabulary_size(self) -> int:
        """Entries of a vector."""
        return self._vocabulary_size

    @property
    def output_bias(self) -> torch.nn.Parameter | None:
        """The bias of the output layer, which moves the sparsity of all texts at once."""
        return None if self._layer is None else self._layer.bias

    def forward(self, groups: Iterable[Group]) -> torch.Tensor:
        """Return the weights of all texts of all groups, in the order of their positions."""
        groups = list(groups)
        # One context for all groups: weights are then converted once, and not for each of them.
        with torch.autocast(groups[0].ids.device.type, self._dtype, enabled=self._dtype != torch.float32):
            parts = [(group.positions, self._group(group)) for group in groups]
        order = torch.cat([positions for positions, _ in parts]).argsort()
        return torch.cat([weights for _, weights in parts])[order]

    def _group(self, group: Group) -> torch.Tensor:
        if self._layer is None:
            weights: torch.Tensor = self._body(group.ids, group.mask)
            return weights.float()
        with _attention(group.ids.device):
            hidden: Any = self._body(input_ids=group.ids, attention_mask=group.mask).logits
        weights = sparse_projection(hidden.float(), group.mask, self._layer, self._pooling, self._dtype)
        if self._silenced:
            weights[:, self._silenced] = 0.0
        return weights


def _attention(device: torch.device) -> AbstractContextManager[None]:
    # On CPUs, torch's fused attention takes twice as long in backward as its plain one, at the lengths of passages.
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
