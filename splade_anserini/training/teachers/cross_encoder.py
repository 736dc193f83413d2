"""Cross-encoders as teachers: models that read query and document together."""

from collections.abc import Sequence

import torch

from splade_anserini.artifacts.truncation import Truncation
from splade_anserini.encoding.torch_encoder import torch_device
from splade_anserini.errors import InputError
from splade_anserini.modeling.checkpoint import Checkpoint, load_tokenizer, pretrained
from splade_anserini.training.options import TeacherOptions
from splade_anserini.training.teachers.inputs import ModelInputs, Pair


class CrossEncoderTeacher:
    """A `ForSequenceClassification` model; the score is its logit, or with two, the second minus the first.

    Raises `InputError` when it has more than two outputs.
    """

    def __init__(self, model: Checkpoint, options: TeacherOptions | None = None) -> None:
        """Use a model that is loaded already; `load` loads one by name."""
        self.options = options or TeacherOptions()
        self.name = model.name
        self._outputs = int(model.model.config.num_labels)
        if self._outputs not in {1, 2}:
            raise InputError(
                f"The cross-encoder {model.name} has {self._outputs} outputs.",
                expected="one score, or two logits of which the second is that of relevant",
                do="Choose another teacher.",
            )
        self._device = torch_device(self.options.device)
        self._inputs = ModelInputs(model, self.options, self._device)
        self._model = model.model.to(self._device).eval().requires_grad_(False)

    @classmethod
    def load(cls, name: str, options: TeacherOptions | None = None) -> "CrossEncoderTeacher":
        """Load a Hugging Face id or directory. Raises `InputError` when it is not a classifier or cannot be read."""
        from transformers import AutoModelForSequenceClassification

        trust = options is not None and options.trust_remote_code
        model, report = pretrained(AutoModelForSequenceClassification, name, trust_remote_code=trust)
        if missing := sorted(report["missing_keys"]):
            raise InputError(
                f"{name} is not a cross-encoder: {len(missing)} of the weights of a {type(model).__name__} are "
                f"missing, such as {missing[0]}.",
                do=f"If it is a sentence encoder, pass dense:{name}.",
            )
        tokenizer = load_tokenizer(name, trust_remote_code=trust)
        return cls(Checkpoint(model.float(), tokenizer, name), options)

    @property
    def truncation(self) -> Truncation:
        """The pairs so far that were too long."""
        return self._inputs.truncation.record()

    @torch.no_grad()
    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the score of each pair: a logit, without a sigmoid."""
        scores = torch.zeros(len(pairs))
        for positions, inputs in self._inputs(pairs, self.options.max_length):
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.options.precision == "bf16"):
                logits = self._model(**inputs).logits.float()
            score = logits[:, 0] if self._outputs == 1 else logits[:, 1] - logits[:, 0]
            scores[positions] = score.cpu()
        values: list[float] = scores.tolist()
        return values
