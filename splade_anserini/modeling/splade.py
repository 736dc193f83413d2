"""The SPLADE model: a masked-language model whose logits are pooled over the text."""

from collections.abc import Iterable
from typing import Any, Self

import torch

from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.pooling import pool
from splade_anserini.modeling.vocabulary import masked_entries
from splade_anserini.records import SPLADE_MAX, Aggregation


class Splade(torch.nn.Module):
    """Token ids to one weight per vocabulary entry (SPLADE v2, section 3).

    Special tokens take part in the pooling as positions, but their own entries, `masked`, always have weight 0.
    """

    entries: torch.Tensor

    def __init__(self, model: Any, masked: Iterable[int], aggregation: Aggregation = SPLADE_MAX) -> None:
        super().__init__()
        self.model = model
        self.aggregation = aggregation
        entries = torch.ones(model.config.vocab_size)
        entries[list(masked)] = 0.0
        self.register_buffer("entries", entries, persistent=False)

    @classmethod
    def of(cls, checkpoint: Checkpoint, aggregation: Aggregation = SPLADE_MAX) -> Self:
        """Return the SPLADE model of a checkpoint, with its special tokens masked."""
        return cls(checkpoint.model, masked_entries(checkpoint.tokenizer, checkpoint.vocabulary_size), aggregation)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return float32 weights [batch, vocabulary]; all arguments are int64 [batch, length]."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        logits = self.model(**inputs).logits
        return pool(logits, attention_mask, self.aggregation).float() * self.entries
