"""The protocol of teachers, and sentence encoders as teachers."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch

from splade_anserini.artifacts.truncation import Truncation
from splade_anserini.encoding.torch_encoder import torch_device
from splade_anserini.modeling.backbone import load_backbone, model_source
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.training.options import TeacherOptions
from splade_anserini.training.teachers.inputs import ModelInputs, Pair
from splade_anserini.training.teachers.sentence_pooling import SentencePooling, read_pooling

NORMALIZED_SCALE = 20.0
"""Scales cosines, whose differences are below 1, to differences as large as those of SPLADE scores."""


class Teacher(Protocol):
    """Scores pairs of query and document; the greater the score, the more relevant the document."""

    @property
    def name(self) -> str:
        """The name by which the teacher was opened."""
        ...

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the score of each pair; it does not depend on the other pairs."""
        ...


class DenseTeacher:
    """A sentence encoder; the score is the dot product of the embeddings of query and document, times a scale."""

    def __init__(self, model: Checkpoint, pooling: SentencePooling, options: TeacherOptions | None = None) -> None:
        """Use a model without a head that is loaded already; `load` loads one by name."""
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
        trust = options is not None and options.trust_remote_code
        backbone = load_backbone(name, trust_remote_code=trust)
        return cls(Checkpoint(backbone.model, backbone.tokenizer, name), read_pooling(model_source(name)), options)

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return int(self._model.config.hidden_size)

    @property
    def truncation(self) -> Truncation:
        """The texts so far that were too long, each as often as it was embedded."""
        return self._inputs.truncation.record()

    @torch.no_grad()
    def embed(self, texts: Sequence[str], max_length: int, *, bf16: bool = False) -> torch.Tensor:
        """Return embeddings [texts, width], float32, on the teacher's device; normalized if the pooling normalizes."""
        embeddings = torch.zeros(len(texts), self.width, device=self.device)
        for positions, inputs in self._inputs(texts, max_length):
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
                hidden = self._model(**inputs).last_hidden_state
            embeddings[positions] = self.pooling(hidden, inputs["attention_mask"])
        return embeddings

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the score of each pair; a text that occurs in several pairs is encoded once."""
        query_rows = {query: row for row, query in enumerate(dict.fromkeys(query for query, _ in pairs))}
        document_rows = {text: row for row, text in enumerate(dict.fromkeys(text for _, text in pairs))}
        queries = self._embed_with_prompt(query_rows, self.pooling.query_prompt)
        documents = self._embed_with_prompt(document_rows, self.pooling.document_prompt)
        left = queries[[query_rows[query] for query, _ in pairs]]
        right = documents[[document_rows[text] for _, text in pairs]]
        scores: list[float] = (self.scale * (left * right).sum(dim=1)).tolist()
        return scores

    def _embed_with_prompt(self, texts: Iterable[str], prompt: str) -> torch.Tensor:
        return self.embed(
            [prompt + text for text in texts], self.options.max_length, bf16=self.options.precision == "bf16"
        )
