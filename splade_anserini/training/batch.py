"""Collate training examples into batches of token ids and labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

from splade_anserini.artifacts.truncation import TextTruncation
from splade_anserini.encoding.truncation import TruncationCounts
from splade_anserini.modeling.token_batches import padded, positions_by_length
from splade_anserini.modeling.trainable import Group
from splade_anserini.modeling.vocabulary import plain_tokenizer
from splade_anserini.records import Example


@dataclass(frozen=True, slots=True)
class BatchLabels:
    """What the losses know about a batch besides its vectors: relevance, duplicates, and teacher scores."""

    query_index: torch.Tensor
    """[documents] int64: the row of the query whose example the document comes from."""
    positives: torch.Tensor
    """[documents] bool: whether the document is the positive of its example."""
    document_hashes: torch.Tensor
    """[documents] int64: a hash of the document's text, the same on all devices."""
    query_hashes: torch.Tensor
    """[queries] int64: a hash of the query's text, the same on all devices."""
    teacher_scores: torch.Tensor
    """[documents] float32: the score in the data of the document for its query, NaN if the data have none."""


_NOTHING_CUT = TextTruncation()


@dataclass(frozen=True, slots=True)
class Batch:
    """The texts of one step: token ids for the student, strings for a teacher, labels for the losses."""

    queries: tuple[Group, ...]
    documents: tuple[Group, ...]
    """The texts to encode."""
    document_rows: torch.Tensor
    """[documents] int64: for each document of `labels`, its position among these texts."""
    labels: BatchLabels
    query_texts: tuple[str, ...]
    document_texts: tuple[str, ...]
    source: int = 0
    """The index of the source that all examples come from."""
    truncation: TextTruncation = _NOTHING_CUT
    """The texts that were longer than the recipe reads."""

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on `device`."""
        labels = (getattr(self.labels, name).to(device) for name in BatchLabels.__slots__)
        return replace(
            self,
            queries=_groups_to(self.queries, device),
            documents=_groups_to(self.documents, device),
            document_rows=self.document_rows.to(device),
            labels=BatchLabels(*labels),
        )


class GroupTokenizer:
    """Tokenizes texts, truncates them, and groups texts of similar length up to a budget of tokens.

    `prompt` is put before every text.
    """

    def __init__(self, tokenizer: Any, max_length: int, budget: int, prompt: str = "") -> None:
        self._tokenizer = plain_tokenizer(tokenizer)
        self._tokenizer.enable_truncation(max_length)
        self._max_length = max_length
        self._budget = budget
        self._prompt = prompt

    def __call__(self, texts: Sequence[str], truncation: TruncationCounts | None = None) -> tuple[Group, ...]:
        """Return groups of at most `budget` tokens, padding included; each text is in exactly one group.

        A text longer than the budget is a group by itself. Texts that are cut are added to `truncation`.
        """
        encodings = self._tokenizer.encode_batch_fast([self._prompt + text for text in texts])
        if truncation is not None:
            truncation.add(encodings, self._max_length, self._tokenizer.num_special_tokens_to_add(is_pair=False))
        lengths = [len(encoding.ids) for encoding in encodings]
        groups = []
        for positions in positions_by_length(lengths, len(texts), self._budget):
            ids, mask = padded([encodings[position].ids for position in positions], lengths[positions[0]])
            groups.append(Group(torch.tensor(positions), torch.from_numpy(ids), torch.from_numpy(mask)))
        return tuple(groups)


class Collator:
    """Collates examples into a batch and samples each example's negatives, seeded by the seed and the batch's index.

    With `each_text_once`, a document that belongs to several queries is encoded once; with dropout, each would have
    another vector.
    """

    def __init__(
        self,
        queries: GroupTokenizer,
        documents: GroupTokenizer,
        *,
        negatives: int,
        seed: int,
        each_text_once: bool = False,
    ) -> None:
        self._queries = queries
        self._documents = documents
        self._negatives = negatives
        self._seed = seed
        self._each_text_once = each_text_once

    def __call__(self, batch_index: int, examples: Sequence[Example], source: int = 0) -> Batch:
        """Return the batch with this index: of each example its positive, then at most `negatives` of its negatives."""
        generator = np.random.default_rng((self._seed, batch_index))
        queries = tuple(example.query for example in examples)
        documents: list[str] = []
        query_index: list[int] = []
        positives: list[bool] = []
        scores: list[float] = []
        for row, example in enumerate(examples):
            # Column 0 is the positive, the others are the negatives.
            columns = [0, *self._sample_negatives(len(example.negatives), generator)]
            texts = (example.positive, *example.negatives)
            documents.extend(texts[column] for column in columns)
            query_index.extend([row] * len(columns))
            positives.extend([True] + [False] * (len(columns) - 1))
            scores.extend(example.scores[column] if example.scores else float("nan") for column in columns)
        labels = BatchLabels(
            torch.tensor(query_index),
            torch.tensor(positives),
            torch.tensor([_text_hash(text) for text in documents]),
            torch.tensor([_text_hash(text) for text in queries]),
            torch.tensor(scores, dtype=torch.float32),
        )
        encoded, rows = documents, list(range(len(documents)))
        if self._each_text_once:
            positions = {text: position for position, text in enumerate(dict.fromkeys(documents))}
            encoded, rows = list(positions), [positions[text] for text in documents]
        cut_queries, cut_documents = TruncationCounts(), TruncationCounts()
        return Batch(
            self._queries(queries, cut_queries),
            self._documents(encoded, cut_documents),
            torch.tensor(rows),
            labels,
            queries,
            tuple(documents),
            source,
            TextTruncation(queries=cut_queries.record(), documents=cut_documents.record()),
        )

    def _sample_negatives(self, available: int, generator: np.random.Generator) -> list[int]:
        """Return the columns of the sampled negatives, without replacement; nothing is drawn if there are none."""
        count = min(self._negatives, available)
        return [1 + int(i) for i in generator.choice(available, size=count, replace=False)] if count else []


def _text_hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _groups_to(groups: Sequence[Group], device: torch.device) -> tuple[Group, ...]:
    return tuple(Group(*(tensor.to(device) for tensor in group)) for group in groups)
