"""BM25 scores of a batch over the student's own tokens, as one part of a teacher's scores."""

import math
from collections.abc import Sequence
from itertools import batched

import numpy as np
import torch

from splade_anserini.formats.examples import Examples
from splade_anserini.modeling.trainable import Group
from splade_anserini.training.batch import Batch, GroupTokenizer
from splade_anserini.training.distributed import gather_rows
from splade_anserini.training.query_idf import idf

K1, B = 0.9, 0.4
"""Anserini's defaults."""

SAMPLE_SIZE = 20_000
"""Documents from which document frequencies are estimated."""

_WINDOW = 256


class BM25Vectorizer:
    """Turns groups of token ids into BM25 vectors; document frequencies and lengths are those of a sample."""

    def __init__(self, vocabulary_size: int) -> None:
        self.document_frequencies = torch.zeros(vocabulary_size)
        """[vocabulary]: how many documents of the sample contain each token."""
        self.document_count = 0
        self._token_count = 0

    def add(self, groups: Sequence[Group]) -> None:
        """Add the documents in `groups` to the sample."""
        for group in groups:
            counts = _token_counts(group, len(self.document_frequencies))
            self.document_frequencies += (counts > 0).sum(dim=0)
            self.document_count += len(counts)
            self._token_count += int(group.mask.sum())

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the scores [queries, documents] for the batch of all devices; `batch` is this device's part."""
        queries = gather_rows(self.query_vectors(batch.queries))
        documents = gather_rows(self.document_vectors(batch.documents)[batch.document_rows])
        return queries @ documents.T

    @property
    def idf(self) -> torch.Tensor:
        """The idf of every token, [vocabulary]."""
        return idf(self.document_count, self.document_frequencies)

    def query_vectors(self, groups: Sequence[Group]) -> torch.Tensor:
        """Return the frequency of each token in each query times its idf, [queries, vocabulary]."""
        counts = _in_batch_order(groups, [_token_counts(group, len(self.document_frequencies)) for group in groups])
        return counts * self.idf.to(counts.device)

    def document_vectors(self, groups: Sequence[Group]) -> torch.Tensor:
        """Return BM25's saturated term frequencies, [documents, vocabulary].

        The dot product with a query vector is the BM25 score (Robertson and Zaragoza 2009).
        """
        average = self._token_count / self.document_count
        vectors = []
        for group in groups:
            counts = _token_counts(group, len(self.document_frequencies))
            length = group.mask.sum(dim=1, keepdim=True)
            vectors.append(counts * (K1 + 1) / (counts + K1 * (1 - B + B * length / average)))
        return _in_batch_order(groups, vectors)


def fit_bm25(
    sources: Sequence[Examples],
    tokenizer: GroupTokenizer,
    vocabulary_size: int,
    *,
    seed: int,
    sample_size: int = SAMPLE_SIZE,
) -> BM25Vectorizer:
    """Return BM25 with the statistics of a sample of positives, from all sources in proportion to their sizes."""
    vectorizer = BM25Vectorizer(vocabulary_size)
    generator = np.random.default_rng(seed)
    total = sum(len(source) for source in sources)
    for source in sources:
        count = min(len(source), math.ceil(sample_size * len(source) / total))
        sample = np.sort(generator.choice(len(source), size=count, replace=False))
        for indices in batched(sample.tolist(), _WINDOW):
            vectorizer.add(tokenizer([source[index].positive for index in indices]))
    return vectorizer


def _token_counts(group: Group, vocabulary_size: int) -> torch.Tensor:
    """Return the frequency of each token in each text, [texts, vocabulary]; padding does not count."""
    counts = torch.zeros(len(group.ids), vocabulary_size, device=group.ids.device)
    return counts.scatter_add_(1, group.ids, group.mask.float())


def _in_batch_order(groups: Sequence[Group], rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(rows))[torch.cat([group.positions for group in groups]).argsort()]
