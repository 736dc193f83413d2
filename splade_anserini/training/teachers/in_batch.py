"""A teacher beside the student: the scores of every query of a batch with every document of it."""

from collections import OrderedDict
from collections.abc import Sequence

import torch

from splade_anserini.cards.training_recipe import Teacher
from splade_anserini.training.batch import Batch
from splade_anserini.training.distributed import gathered
from splade_anserini.training.lexical import Lexicon
from splade_anserini.training.teachers.dense import DenseTeacher
from splade_anserini.training.teachers.sentence_pooling import SentencePooling

KEPT = 100_000
"""Embeddings that are kept, the last used: texts come again in the next epoch."""


class Embeddings:
    """Embeddings of texts by a sentence encoder, each text computed once as long as it is kept."""

    def __init__(self, teacher: DenseTeacher, max_length: int, *, bf16: bool = False, kept: int = KEPT) -> None:
        self._teacher = teacher
        self._max_length = max_length
        self._bf16 = bf16
        self._kept = kept
        self._known: OrderedDict[str, torch.Tensor] = OrderedDict()

    @property
    def pooling(self) -> SentencePooling:
        """What the teacher wants to stand before queries and documents, among other things."""
        return self._teacher.pooling

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Return embeddings [texts, width], float32, of length 1."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            found = self._teacher.embed(new, self._max_length, bf16=self._bf16)
            if not self._teacher.pooling.normalize:
                found = torch.nn.functional.normalize(found, dim=1)
            for text, embedding in zip(new, found, strict=True):
                self._known[text] = embedding.half()
        for text in texts:
            self._known.move_to_end(text)
        result = torch.stack([self._known[text] for text in texts]).float()
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        return result


class Instruction:
    """The scores of a recipe's teacher for all queries and documents of all devices' batches."""

    def __init__(self, teacher: Teacher, embeddings: Embeddings, lexicon: Lexicon | None) -> None:
        self._teacher = teacher
        self._embeddings = embeddings
        self._lexicon = lexicon

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return scores [queries, documents]."""
        prompts = self._embeddings.pooling
        queries = gathered(self._embeddings([prompts.query_prompt + text for text in batch.query_texts]))
        documents = gathered(self._embeddings([prompts.document_prompt + text for text in batch.document_texts]))
        scores = self._teacher.cosine * (queries @ documents.T)
        if self._lexicon is not None and self._teacher.bm25:
            asked, answers = self._lexicon.queries(batch.queries), self._lexicon.documents(batch.documents)
            scores += self._teacher.bm25 * (gathered(asked) @ gathered(answers).T)
        return scores
