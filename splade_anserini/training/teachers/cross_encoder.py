"""Cross-encoders: models that read query and document together."""

from collections.abc import Sequence

import torch

from splade_anserini.encoding.torch_encoder import torch_device
from splade_anserini.errors import InputError
from splade_anserini.modeling.checkpoint import Checkpoint, load_tokenizer, pretrained
from splade_anserini.training.teachers.inputs import ModelInputs, Pair, TeacherOptions


class CrossEncoderTeacher:
    """A classifier of pairs: the score is its one output, or of two the logit of "relevant" less the other.

    Raises `InputError` when it has more outputs.
    """

    def __init__(self, model: Checkpoint, options: TeacherOptions | None = None) -> None:
        """Take over a `ForSequenceClassification` model; see `load` for one that goes by a name."""
        self.options = options or TeacherOptions()
        self.name = model.name
        self._outputs = int(model.model.config.num_labels)
        if self._outputs not in {1, 2}:
            raise InputError(
                f"The cross-encoder {model.name} has {self._outputs} outputs.",
                expected="one score, or two logits of which the second says relevant",
                do="Choose another teacher.",
            )
        self._device = torch_device(self.options.device)
        self._inputs = ModelInputs(model, self.options, self._device)
        self._model = model.model.to(self._device).eval().requires_grad_(False)

    @classmethod
    def load(cls, name: str, options: TeacherOptions | None = None) -> "CrossEncoderTeacher":
        """Load a Hugging Face id or directory. Raises `InputError` when it cannot be read, or is no classifier."""
        from transformers import AutoModelForSequenceClassification

        model, report = pretrained(AutoModelForSequenceClassification, name)
        if missing := sorted(report["missing_keys"]):
            raise InputError(
                f"{name} is no cross-encoder: {len(missing)} of the weights of a {type(model).__name__} are missing, "
                f"{missing[0]} among them.",
                do=f"If it is a sentence encoder, name it as dense:{name}.",
            )
        return cls(Checkpoint(model.float(), load_tokenizer(name), name), options)

    @torch.no_grad()
    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return a score for each pair: logits, not squeezed between 0 and 1."""
        scores = torch.zeros(len(pairs))
        for positions, inputs in self._inputs(pairs, self.options.max_length):
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.options.bf16):
                logits = self._model(**inputs).logits.float()
            row = logits[:, 0] if self._outputs == 1 else logits[:, 1] - logits[:, 0]
            scores[positions] = row.cpu()
        found: list[float] = scores.tolist()
        return found
