"""BM25 scores of a batch over words, as one part of a teacher's scores: those that a search in Lucene would give."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
import torch

from splade_anserini.formats.examples import Examples
from splade_anserini.training.batch import Batch
from splade_anserini.training.bm25 import K1, SAMPLE_SIZE, B
from splade_anserini.training.distributed import gather_objects
from splade_anserini.vectors.idf import idf

type Analyze = Callable[[str], Sequence[str]]
"""Text → its words, as they are indexed: lower case, stemmed, without stopwords."""

CACHED_TEXTS = 50_000


class WordBM25:
    """BM25 of texts, with the document frequencies and the mean length of `documents`.

    Lucene's scale: without the factor k₁ + 1, which changes no ranking. Unlike Lucene's, lengths are not rounded.
    """

    def __init__(self, documents: Iterable[str], analyze: Analyze) -> None:
        self._counts = lru_cache(CACHED_TEXTS)(lambda text: Counter(analyze(text)))
        self._frequencies: Counter[str] = Counter()
        self._documents = words = 0
        for counts in map(self._counts, documents):
            self._frequencies.update(counts.keys())
            self._documents += 1
            words += counts.total()
        self._mean_length = max(1.0, words / max(1, self._documents))

    def scores(self, queries: Sequence[str], documents: Sequence[str]) -> torch.Tensor:
        """Return the score of each document for each query, [queries, documents], float32."""
        query_counts = [self._counts(text) for text in queries]
        columns = {word: column for column, word in enumerate(dict.fromkeys(chain.from_iterable(query_counts)))}
        weights = np.zeros((len(queries), len(columns)), dtype=np.float32)
        for row, counts in enumerate(query_counts):
            for word, count in counts.items():
                weights[row, columns[word]] = count * idf(self._documents, self._frequencies[word])
        saturated = np.zeros((len(documents), len(columns)), dtype=np.float32)
        for row, counts in enumerate(map(self._counts, documents)):
            norm = K1 * (1 - B + B * counts.total() / self._mean_length)
            for word in counts.keys() & columns.keys():
                saturated[row, columns[word]] = counts[word] / (counts[word] + norm)
        return torch.from_numpy(weights @ saturated.T)


class SourcesBM25:
    """BM25 for batches: each is scored with the statistics of the source that it comes from."""

    def __init__(self, sources: Sequence[Examples], analyze: Analyze, *, seed: int) -> None:
        self._sources = [WordBM25(_sample(source, seed), analyze) for source in sources]

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the scores [queries, documents] for the batch of all devices; `batch` is this device's part."""
        queries, documents = gather_objects(batch.query_texts), gather_objects(batch.document_texts)
        return self._sources[batch.source].scores(queries, documents)


def _sample(source: Examples, seed: int) -> list[str]:
    """Return the different positives of at most `SAMPLE_SIZE` examples."""
    count = min(len(source), SAMPLE_SIZE)
    indices = np.sort(np.random.default_rng(seed).choice(len(source), size=count, replace=False))
    return list(dict.fromkeys(source[index].positive for index in indices.tolist()))
