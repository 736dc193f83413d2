"""Which models of transformers can be sparse encoders, by their configuration alone: no model is loaded."""

from collections.abc import Mapping
from typing import Any

from splade_anserini.errors import InputError

ACCEPTED = "the Hugging Face id or the directory of a model with a masked-language-model head, such as BERT's"


def require_masked_lm(name: str, config: Mapping[str, Any]) -> None:
    """Raise `InputError` when `config`, the content of a config.json, is not that of a masked-language model.

    An unknown type of model passes: loading it says what is wrong.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        MODEL_MAPPING_NAMES,
    )

    model_type = str(config.get("model_type", ""))
    has_head = model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES or "AutoModelForMaskedLM" in _auto_map(config)
    architecture = _causal_architecture(config)
    if architecture is None and not has_head and model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        architecture = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    if architecture is not None:
        raise InputError(
            f"{name} is a causal language model ({architecture}), not a masked one.",
            expected=ACCEPTED,
            do="Encode with the code of its publisher: for encoders made of causal models, such as SPLADE-Code, there "
            "is no reference to compare our vectors with.",
        )
    if not has_head and model_type in MODEL_MAPPING_NAMES:
        raise InputError(
            f"{name} is a model of the type {model_type}, for which transformers has no masked-language-model head.",
            expected=ACCEPTED,
        )


def _causal_architecture(config: Mapping[str, Any]) -> str | None:
    """Return the architecture of a causal language model, None for other models."""
    architectures = [str(architecture) for architecture in config.get("architectures") or ()]
    for architecture in architectures:
        is_lm_head_model = architecture.endswith("LMHeadModel") and not architecture.endswith("WithLMHeadModel")
        if architecture.endswith("ForCausalLM") or is_lm_head_model:
            return architecture
    if config.get("is_decoder"):  # an encoder such as BERT whose tokens see only those before them
        return f"{architectures[0]}, a decoder" if architectures else "a decoder"
    auto_map = _auto_map(config)
    if "AutoModelForCausalLM" in auto_map and "AutoModelForMaskedLM" not in auto_map:
        return str(auto_map["AutoModelForCausalLM"])
    return None


def _auto_map(config: Mapping[str, Any]) -> Mapping[str, Any]:
    auto_map = config.get("auto_map")
    return auto_map if isinstance(auto_map, dict) else {}
