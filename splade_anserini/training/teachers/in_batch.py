"""A teacher that scores all queries of a batch with all documents of it during training."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch

from splade_anserini.cards.training_recipe import TeacherSettings
from splade_anserini.training.batch import Batch
from splade_anserini.training.distributed import gather_rows
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.embedding_file import EmbeddingFile
from splade_anserini.training.teachers.sentence_pooling import SentencePooling

CAPACITY = 100_000
"""Embeddings in the cache."""


class EmbeddingCache:
    """Embeds texts with a sentence encoder, and keeps the most recently used embeddings for later epochs."""

    def __init__(
        self,
        teacher: DenseTeacher,
        max_length: int,
        *,
        bf16: bool = False,
        capacity: int = CAPACITY,
        file: EmbeddingFile | None = None,
    ) -> None:
        self._teacher, self._file = teacher, file
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
            for text, embedding in zip(missing, self._read_or_embed(missing), strict=True):
                self._embeddings[text] = embedding
        for text in texts:
            self._embeddings.move_to_end(text)
        result = torch.stack([self._embeddings[text] for text in texts]).float()
        while len(self._embeddings) > self._capacity:
            self._embeddings.popitem(last=False)
        return result

    def _read_or_embed(self, texts: Sequence[str]) -> list[torch.Tensor]:
        if self._file is None:
            return list(self._embed(texts))
        known = self._file.read(texts)
        new = [text for text in texts if text not in known]
        if new:
            embedded = self._embed(new)
            self._file.add(dict(zip(new, embedded.cpu().numpy(), strict=True)))
            known |= dict(zip(new, embedded, strict=True))
        return [torch.as_tensor(known[text], device=self._teacher.device) for text in texts]

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Return embeddings [texts, width], float16, of length 1."""
        embeddings = self._teacher.embed(texts, self._max_length, bf16=self._bf16)
        if not self._teacher.pooling.normalize:
            embeddings = torch.nn.functional.normalize(embeddings, dim=1)
        return embeddings.half()


class InBatchTeacher:
    """Scores all queries of a batch with all its documents: cosine · cos(q, d) + bm25 · BM25(q, d)."""

    def __init__(
        self, settings: TeacherSettings, embeddings: EmbeddingCache, bm25: Callable[[Batch], torch.Tensor] | None
    ) -> None:
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
            scores += self._settings.bm25 * self._bm25(batch).to(scores.device)
        return scores
