"""What plain word overlap says of a batch: BM25 over the student's own tokens, as one part of a teacher."""

import math
from collections.abc import Sequence
from itertools import batched

import numpy as np
import torch

from splade_anserini.formats.examples import Examples
from splade_anserini.modeling.trainable import Group
from splade_anserini.training.batch import Tokens

K1, B = 0.9, 0.4
"""Anserini's."""

SAMPLE = 20_000
"""Documents from which document frequencies are estimated."""

_WINDOW = 256


class Lexicon:
    """How many of a sample of documents hold each token, and how long they are."""

    def __init__(self, size: int) -> None:
        self._counts = torch.zeros(size)
        self._documents = 0
        self._tokens = 0

    def add(self, groups: Sequence[Group]) -> None:
        """Count the documents in `groups`."""
        for group in groups:
            bags = _bags(group, len(self._counts))
            self._counts += (bags > 0).sum(dim=0)
            self._documents += len(bags)
            self._tokens += int(group.mask.sum())

    @property
    def idf(self) -> torch.Tensor:
        """log(1 + (N − n + 1/2) / (n + 1/2)) of every token, [vocabulary] (Robertson and Zaragoza 2009; Lucene's)."""
        return torch.log1p((self._documents - self._counts + 0.5) / (self._counts + 0.5))

    def queries(self, groups: Sequence[Group]) -> torch.Tensor:
        """Return how often each token stands in each query, times its idf, [queries, vocabulary]."""
        bags = _in_order(groups, [_bags(group, len(self._counts)) for group in groups])
        return bags * self.idf.to(bags.device)

    def documents(self, groups: Sequence[Group]) -> torch.Tensor:
        """Return BM25's saturated frequencies, [documents, vocabulary]; the product with `queries` is BM25."""
        average = self._tokens / self._documents
        weights = []
        for group in groups:
            bags = _bags(group, len(self._counts))
            length = group.mask.sum(dim=1, keepdim=True)
            weights.append(bags * (K1 + 1) / (bags + K1 * (1 - B + B * length / average)))
        return _in_order(groups, weights)


def _bags(group: Group, size: int) -> torch.Tensor:
    """Return how often each token stands in each text, [texts, vocabulary]; padding does not count."""
    bags = torch.zeros(len(group.ids), size, device=group.ids.device)
    return bags.scatter_add_(1, group.ids, group.mask.float())


def _in_order(groups: Sequence[Group], rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(rows))[torch.cat([group.positions for group in groups]).argsort()]


def lexicon(sources: Sequence[Examples], tokens: Tokens, vocabulary_size: int, seed: int) -> Lexicon:
    """Count the tokens of a sample of the examples' positives, from all sources in proportion to their sizes."""
    result = Lexicon(vocabulary_size)
    dice = np.random.default_rng(seed)
    total = sum(len(source) for source in sources)
    for source in sources:
        wanted = min(len(source), math.ceil(SAMPLE * len(source) / total))
        numbers = np.sort(dice.choice(len(source), size=wanted, replace=False))
        for some in batched(numbers.tolist(), _WINDOW):
            result.add(tokens([source[number].positive for number in some]))
    return result
