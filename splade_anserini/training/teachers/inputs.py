"""The inputs of the models of teachers."""

from collections.abc import Iterator, Sequence

import torch

from splade_anserini.encoding.truncation import TruncationCounts
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.token_batches import padded, positions_by_length
from splade_anserini.modeling.vocabulary import plain_tokenizer
from splade_anserini.training.options import TeacherOptions

CPU_TOKENS = 4096
"""The most tokens in a batch on a CPU, padding included."""

type Pair = tuple[str, str]
"""The text of a query and the text of a document."""


class ModelInputs:
    """Tokenizes texts, or pairs of texts, into padded batches of similar length for a transformers model."""

    def __init__(self, checkpoint: Checkpoint, options: TeacherOptions, device: torch.device) -> None:
        self._tokenizer = plain_tokenizer(checkpoint.tokenizer)
        self._padding_id = int(checkpoint.tokenizer.pad_token_id or 0)
        self._token_types = checkpoint.takes_token_types
        self._model_max_length = checkpoint.max_length
        self._whole = plain_tokenizer(checkpoint.tokenizer)
        self.truncation = TruncationCounts()
        """The inputs so far that were too long."""
        self._batch_size = options.batch_size
        self._device = device

    def __call__(
        self, texts: Sequence[str] | Sequence[Pair], max_length: int
    ) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
        """Yield the positions of each batch's texts and the arguments of the model, the longest texts first.

        A text that is too long is truncated; of a pair, the longer one.
        """
        longest = min(max_length, self._model_max_length)
        self._tokenizer.enable_truncation(longest)
        encodings = self._tokenizer.encode_batch(list(texts))
        lengths = [len(encoding.ids) for encoding in encodings]
        self._count(texts, lengths, longest)
        budget = CPU_TOKENS if self._device.type == "cpu" else None
        for positions in positions_by_length(lengths, self._batch_size, budget):
            batch = [encodings[position] for position in positions]
            ids, mask = padded([encoding.ids for encoding in batch], lengths[positions[0]])
            ids[mask == 0] = self._padding_id
            inputs = {"input_ids": ids, "attention_mask": mask}
            if self._token_types:
                inputs["token_type_ids"], _ = padded([encoding.type_ids for encoding in batch], ids.shape[1])
            yield positions, {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}

    def _count(self, texts: Sequence[str] | Sequence[Pair], lengths: Sequence[int], longest: int) -> None:
        """Count the inputs that were cut. What is cut off from a pair is in no piece, so these are tokenized again."""
        candidates = [text for text, length in zip(texts, lengths, strict=True) if length >= longest]
        lost = [len(encoding) - longest for encoding in self._whole.encode_batch_fast(candidates)]
        self.truncation.texts += len(texts)
        self.truncation.truncated += sum(tokens > 0 for tokens in lost)
        self.truncation.tokens_lost += sum(tokens for tokens in lost if tokens > 0)
