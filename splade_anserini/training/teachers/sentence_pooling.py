"""The pooling of a sentence encoder, read from the files that sentence-transformers saves beside a model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from splade_anserini.errors import InputError
from splade_anserini.formats.sentence_transformers import MODULES, SETTINGS


@dataclass(frozen=True, slots=True)
class SentencePooling:
    """How a sentence encoder turns hidden states into one embedding, and which prompts precede its texts."""

    mode: Literal["mean", "cls"] = "mean"
    normalize: bool = True
    query_prompt: str = ""
    document_prompt: str = ""

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return embeddings [batch, width] of hidden states [batch, length, width] and a mask [batch, length]."""
        hidden = hidden.float()
        if self.mode == "cls":
            pooled = hidden[:, 0]
        else:
            weights = mask.unsqueeze(-1).float()
            pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
        return torch.nn.functional.normalize(pooled, dim=-1) if self.normalize else pooled


def read_pooling(model: str) -> SentencePooling:
    """Read the pooling of a Hugging Face id or directory; without any files it is the mean, normalized.

    Raises `InputError` for a pooling, or a module after it, that is not supported.
    """
    modules = module_names(model)
    if unsupported := [name for name in modules if name not in {"Transformer", "Pooling", "Normalize"}]:
        raise InputError(
            f"The sentence encoder {model} has the module {unsupported[0]}, which is not supported.",
            expected="the modules Transformer and Pooling, and optionally Normalize",
            do="Choose another teacher.",
        )
    prompts = (read_json(model, SETTINGS) or {}).get("prompts") or {}
    return SentencePooling(
        _pooling_mode(model),
        "Normalize" in modules if modules else True,
        prompts.get("query", ""),
        prompts.get("document", prompts.get("passage", "")),
    )


def module_names(model: str) -> list[str]:
    """Return the classes of a model's modules in sentence-transformers, without their packages."""
    return [str(module.get("type")).rpartition(".")[2] for module in read_json(model, MODULES) or []]


def _pooling_mode(model: str) -> Literal["mean", "cls"]:
    config = read_json(model, "1_Pooling/config.json")
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
                f"The sentence encoder {model} has the pooling {other}, which is not supported.",
                expected="mean or cls",
                do="Choose another teacher.",
            )


def read_json(model: str, file: str) -> Any:
    """Return the content of a JSON file of a Hugging Face id or directory, None when there is no such file."""
    from transformers.utils.hub import cached_file

    path = cached_file(
        model, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    if path is None:
        return None
    try:
        return json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}.", do="Download or save the model again.") from error
