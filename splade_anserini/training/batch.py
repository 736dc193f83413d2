"""From examples to what a step computes with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

from splade_anserini.modeling.token_batches import padded, positions_by_length
from splade_anserini.modeling.trainable import Group
from splade_anserini.modeling.vocabulary import plain_tokenizer
from splade_anserini.records import Example


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a batch's documents and queries besides their vectors.

    All are int64 or bool tensors [documents] but for `asked` [queries] and scores.
    """

    owners: torch.Tensor
    """The query for which a document was chosen."""
    positives: torch.Tensor
    """Whether the document is relevant to its owner."""
    texts: torch.Tensor
    """Equal for equal texts, on all devices."""
    asked: torch.Tensor
    """Likewise for the texts of queries."""
    scores: torch.Tensor
    """[documents] float32: the data's teacher score of owner and document, NaN where there is none."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A step's texts: tokens for the student, strings for a teacher."""

    queries: tuple[Group, ...]
    documents: tuple[Group, ...]
    facts: Facts
    query_texts: tuple[str, ...]
    document_texts: tuple[str, ...]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on `device`."""
        facts = (getattr(self.facts, name).to(device) for name in Facts.__slots__)
        return replace(
            self, queries=_moved(self.queries, device), documents=_moved(self.documents, device), facts=Facts(*facts)
        )


class Tokens:
    """Texts → groups of token ids, cut at a length; texts of similar length stand in one group."""

    def __init__(self, tokenizer: Any, max_length: int, budget: int) -> None:
        self._tokenizer = plain_tokenizer(tokenizer)
        self._tokenizer.enable_truncation(max_length)
        self._budget = budget

    def __call__(self, texts: Sequence[str]) -> tuple[Group, ...]:
        """Return groups of at most `budget` tokens, padding included, that hold every text once."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        lengths = [len(encoding.ids) for encoding in encodings]
        groups = []
        for positions in positions_by_length(lengths, len(texts), self._budget):
            ids, mask = padded([encodings[position].ids for position in positions], lengths[positions[0]])
            groups.append(Group(torch.tensor(positions), torch.from_numpy(ids), torch.from_numpy(mask)))
        return tuple(groups)


class Collator:
    """Examples → a batch; of each example's negatives `negatives` are drawn, with the seed and the batch's number."""

    def __init__(self, queries: Tokens, documents: Tokens, *, negatives: int, seed: int) -> None:
        self._queries = queries
        self._documents = documents
        self._negatives = negatives
        self._seed = seed

    def __call__(self, number: int, examples: Sequence[Example]) -> Batch:
        """Return the batch of this number."""
        dice = np.random.default_rng((self._seed, number))
        queries = tuple(example.query for example in examples)
        documents: list[str] = []
        owners: list[int] = []
        positives: list[bool] = []
        scores: list[float] = []
        for owner, example in enumerate(examples):
            wanted = min(self._negatives, len(example.negatives))
            drawn = [0, *(1 + dice.choice(len(example.negatives), size=wanted, replace=False))] if wanted else [0]
            known = (example.positive, *example.negatives)
            documents.extend(known[place] for place in drawn)
            owners.extend([owner] * len(drawn))
            positives.extend([True] + [False] * (len(drawn) - 1))
            scores.extend(example.scores[place] if example.scores else float("nan") for place in drawn)
        facts = Facts(
            torch.tensor(owners),
            torch.tensor(positives),
            torch.tensor([_number(text) for text in documents]),
            torch.tensor([_number(text) for text in queries]),
            torch.tensor(scores, dtype=torch.float32),
        )
        return Batch(self._queries(queries), self._documents(documents), facts, queries, tuple(documents))


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _moved(groups: Sequence[Group], device: torch.device) -> tuple[Group, ...]:
    return tuple(Group(*(tensor.to(device) for tensor in group)) for group in groups)
