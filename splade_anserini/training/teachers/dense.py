"""Teachers: models that say how well a document answers a query. Here the protocol, and sentence encoders."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch

from splade_anserini.encoding.torch_encoder import torch_device
from splade_anserini.modeling.backbone import load_backbone, model_source
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.training.teachers.inputs import ModelInputs, Pair, TeacherOptions
from splade_anserini.training.teachers.sentence_pooling import SentencePooling, read_pooling

NORMALIZED_SCALE = 20.0
"""Cosines lie within about 0.5 of each other, a SPLADE's scores within tens: their differences are to be alike."""


class Teacher(Protocol):
    """Scores pairs of query and document; the greater, the better the document answers the query."""

    @property
    def name(self) -> str:
        """As it was named."""
        ...

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return a score for each pair, which does not depend on the others."""
        ...


class DenseTeacher:
    """A sentence encoder: the score is the dot product of the vectors of query and document, times a scale."""

    def __init__(self, model: Checkpoint, pooling: SentencePooling, options: TeacherOptions | None = None) -> None:
        """Take over `model`, a body without a head; see `load` for one that goes by a name."""
        self.options = options or TeacherOptions()
        self.pooling = pooling
        self.name = model.name
        self.device = torch_device(self.options.device)
        self._inputs = ModelInputs(model, self.options, self.device)
        self._model = model.model.to(self.device).eval().requires_grad_(False)
        self.scale = self.options.dense_scale or (NORMALIZED_SCALE if pooling.normalize else 1.0)

    @classmethod
    def load(cls, name: str, options: TeacherOptions | None = None) -> "DenseTeacher":
        """Load a Hugging Face id, a directory, or package:<module>. Raises `InputError` when it cannot be used."""
        backbone = load_backbone(name)
        return cls(Checkpoint(backbone.model, backbone.tokenizer, name), read_pooling(model_source(name)), options)

    @torch.no_grad()
    def embed(self, texts: Sequence[str], max_length: int, *, bf16: bool = False) -> torch.Tensor:
        """Return [texts, width], float32, on the teacher's device; normalized unless the model says otherwise."""
        rows = torch.zeros(len(texts), int(self._model.config.hidden_size), device=self.device)
        for positions, inputs in self._inputs(texts, max_length):
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
                hidden = self._model(**inputs).last_hidden_state
            rows[positions] = self.pooling(hidden, inputs["attention_mask"])
        return rows

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return a score for each pair; each text is read once."""
        queries = {query: number for number, query in enumerate(dict.fromkeys(query for query, _ in pairs))}
        documents = {text: number for number, text in enumerate(dict.fromkeys(text for _, text in pairs))}
        left = self._embed_all(queries, self.pooling.query_prompt)[[queries[query] for query, _ in pairs]]
        right = self._embed_all(documents, self.pooling.document_prompt)[[documents[text] for _, text in pairs]]
        scores: list[float] = (self.scale * (left * right).sum(dim=1)).tolist()
        return scores

    def _embed_all(self, texts: Iterable[str], prompt: str) -> torch.Tensor:
        return self.embed([prompt + text for text in texts], self.options.max_length, bf16=self.options.bf16)
