"""One vector of a text, as sentence-transformers describes it in files beside a model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from splade_anserini.errors import InputError


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
    modules = [str(module["type"]).rpartition(".")[2] for module in _json(place, "modules.json") or []]
    if unknown := [name for name in modules if name not in {"Transformer", "Pooling", "Normalize"}]:
        raise InputError(
            f"The sentence encoder {place} has a module {unknown[0]}.",
            expected="a transformer, its pooling, and perhaps normalization",
            do="Choose another teacher.",
        )
    prompts = (_json(place, "config_sentence_transformers.json") or {}).get("prompts") or {}
    return SentencePooling(
        _mode(place),
        "Normalize" in modules if modules else True,
        prompts.get("query", ""),
        prompts.get("document", prompts.get("passage", "")),
    )


def _mode(place: str) -> Literal["mean", "cls"]:
    config = _json(place, "1_Pooling/config.json")
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


def _json(place: str, name: str) -> Any:
    """Return what a file beside the model holds, None when it is not there."""
    from transformers.utils.hub import cached_file

    found = cached_file(
        place, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    if found is None:
        return None
    try:
        return json.loads(Path(found).read_bytes())
    except ValueError as error:
        raise InputError(f"{found} is not JSON ({error}).", do="Fetch the model again.") from error
