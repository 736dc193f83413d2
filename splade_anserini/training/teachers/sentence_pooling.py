"""One vector of a text, as sentence-transformers describes it in files beside a model."""

from dataclasses import dataclass
from typing import Literal

import torch

from splade_anserini.errors import InputError
from splade_anserini.training.teachers.model_files import json_beside


@dataclass(frozen=True, slots=True)
class SentencePooling:
    """How a sentence encoder makes one vector of a text: what sentence-transformers keeps in files beside the model."""

    mode: Literal["mean", "cls"] = "mean"
    normalize: bool = True
    query_prompt: str = ""
    document_prompt: str = ""

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return [batch, width] of hidden states [batch, length, width] and mask [batch, length]."""
        hidden = hidden.float()
        if self.mode == "cls":
            pooled = hidden[:, 0]
        else:
            weights = mask.unsqueeze(-1).float()
            pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
        return torch.nn.functional.normalize(pooled, dim=-1) if self.normalize else pooled


def read_pooling(place: str) -> SentencePooling:
    """Read the files of a Hugging Face id or directory; without any, the mean is taken and normalized.

    Raises `InputError` for a pooling or a module beyond it that is not known here.
    """
    modules = [str(module["type"]).rpartition(".")[2] for module in json_beside(place, "modules.json") or []]
    if unknown := [name for name in modules if name not in {"Transformer", "Pooling", "Normalize"}]:
        raise InputError(
            f"The sentence encoder {place} has a module {unknown[0]}.",
            expected="a transformer, its pooling, and perhaps normalization",
            do="Choose another teacher.",
        )
    prompts = (json_beside(place, "config_sentence_transformers.json") or {}).get("prompts") or {}
    return SentencePooling(
        _mode(place),
        "Normalize" in modules if modules else True,
        prompts.get("query", ""),
        prompts.get("document", prompts.get("passage", "")),
    )


def _mode(place: str) -> Literal["mean", "cls"]:
    config = json_beside(place, "1_Pooling/config.json")
    if config is None:
        return "mean"
    flags = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    match config.get("pooling_mode", flags):
        case "mean" | ["mean"] | ["pooling_mode_mean_tokens"]:
            return "mean"
        case "cls" | ["cls"] | ["pooling_mode_cls_token"]:
            return "cls"
        case other:
            raise InputError(
                f"The sentence encoder {place} pools by {other}.", expected="mean or cls", do="Choose another teacher."
            )
