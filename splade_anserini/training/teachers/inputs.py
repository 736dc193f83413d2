"""How a teacher is run, and what its model reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from splade_anserini.errors import InputError
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.token_batches import padded, positions_by_length
from splade_anserini.modeling.vocabulary import plain_tokenizer

CPU_TOKENS = 4096
"""Tokens in a batch on a CPU, padding counted."""

type Pair = tuple[str, str]
"""The text of a query and that of a document."""


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """How to run a teacher."""

    max_length: int = 256
    """Tokens that are read: of a text, or of query and document together in a cross-encoder."""
    batch_size: int = 64
    """The most texts, or pairs, in a batch."""
    device: str = "auto"
    bf16: bool = False
    """Compute in bfloat16, under autocast."""
    dense_scale: float | None = None
    """What a sentence encoder's dot products are multiplied by; None: 20 if its vectors are normalized, else 1."""

    def __post_init__(self) -> None:
        if self.max_length < 3 or self.batch_size < 1 or not (self.dense_scale is None or self.dense_scale > 0):
            raise InputError(
                f"Maximum length {self.max_length}, batch size {self.batch_size}, scale {self.dense_scale}.",
                expected="a length of 3 or more tokens, and positive numbers",
            )


class ModelInputs:
    """Texts, or pairs of them, as padded batches of similar length for a model of transformers."""

    def __init__(self, checkpoint: Checkpoint, options: TeacherOptions, device: torch.device) -> None:
        self._tokenizer = plain_tokenizer(checkpoint.tokenizer)
        self._padding = int(checkpoint.tokenizer.pad_token_id or 0)
        self._token_types = checkpoint.takes_token_types
        self._longest = checkpoint.max_length
        self._batch_size = options.batch_size
        self._device = device

    def __call__(
        self, texts: Sequence[str] | Sequence[Pair], max_length: int
    ) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
        """Yield the positions of a batch's texts and the model's arguments, the longest texts first.

        What is too long is cut; of a pair, the longer of the two.
        """
        self._tokenizer.enable_truncation(min(max_length, self._longest))
        encodings = self._tokenizer.encode_batch(list(texts))
        lengths = [len(encoding.ids) for encoding in encodings]
        budget = CPU_TOKENS if self._device.type == "cpu" else None
        for positions in positions_by_length(lengths, self._batch_size, budget):
            batch = [encodings[position] for position in positions]
            ids, mask = padded([encoding.ids for encoding in batch], lengths[positions[0]])
            ids[mask == 0] = self._padding
            inputs = {"input_ids": ids, "attention_mask": mask}
            if self._token_types:
                inputs["token_type_ids"], _ = padded([encoding.type_ids for encoding in batch], ids.shape[1])
            yield positions, {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
