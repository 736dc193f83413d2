"""A teacher that scores all queries of a batch with all documents of it during training."""

from collections import OrderedDict
from collections.abc import Sequence

import torch

from splade_anserini.cards.training_recipe import TeacherSettings
from splade_anserini.training.batch import Batch
from splade_anserini.training.bm25 import BM25Vectorizer
from splade_anserini.training.distributed import gather_rows
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.sentence_pooling import SentencePooling

CAPACITY = 100_000
"""Embeddings in the cache."""


class EmbeddingCache:
    """Embeds texts with a sentence encoder, and keeps the most recently used embeddings for later epochs."""

    def __init__(self, teacher: DenseTeacher, max_length: int, *, bf16: bool = False, capacity: int = CAPACITY) -> None:
        self._teacher = teacher
        self._max_length = max_length
        self._bf16 = bf16
        self._capacity = capacity
        self._embeddings: OrderedDict[str, torch.Tensor] = OrderedDict()

    @property
    def pooling(self) -> SentencePooling:
        """The pooling of the sentence encoder, with the prompts of queries and documents."""
        return self._teacher.pooling

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Return embeddings [texts, width], float32, of length 1."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._embeddings]
        if missing:
            embeddings = self._teacher.embed(missing, self._max_length, bf16=self._bf16)
            if not self._teacher.pooling.normalize:
                embeddings = torch.nn.functional.normalize(embeddings, dim=1)
            for text, embedding in zip(missing, embeddings, strict=True):
                self._embeddings[text] = embedding.half()
        for text in texts:
            self._embeddings.move_to_end(text)
        result = torch.stack([self._embeddings[text] for text in texts]).float()
        while len(self._embeddings) > self._capacity:
            self._embeddings.popitem(last=False)
        return result


class InBatchTeacher:
    """Scores all queries of a batch with all its documents: cosine · cos(q, d) + bm25 · BM25(q, d)."""

    def __init__(self, settings: TeacherSettings, embeddings: EmbeddingCache, bm25: BM25Vectorizer | None) -> None:
        self._settings = settings
        self._embeddings = embeddings
        self._bm25 = bm25

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return scores [queries, documents] for the batch of all devices; `batch` is this device's part."""
        pooling = self._embeddings.pooling
        queries = gather_rows(self._embeddings([pooling.query_prompt + text for text in batch.query_texts]))
        documents = gather_rows(self._embeddings([pooling.document_prompt + text for text in batch.document_texts]))
        scores = self._settings.cosine * (queries @ documents.T)
        if self._bm25 is not None and self._settings.bm25:
            queries = gather_rows(self._bm25.query_vectors(batch.queries))
            documents = gather_rows(self._bm25.document_vectors(batch.documents))
            scores += self._settings.bm25 * (queries @ documents.T)
        return scores
