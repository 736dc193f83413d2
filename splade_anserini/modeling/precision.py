"""Reduced precision, and the layers of a masked-language model that must not have it."""

from typing import Any

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def has_native_bf16() -> bool:
    """Return whether this processor has instructions for matrix products in bfloat16."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001  # torch has no public function for it
    except (RuntimeError, AttributeError):
        return False


def keep_head_in_float32(model: Any) -> None:
    """Make the layers between the body and the decoder compute in float32, also under autocast.

    A warm start adds a constant to small values there, and a short mantissa would lose them. The layers are small, so
    that this costs little; the decoder, which has the size of the vocabulary, stays in reduced precision.
    """
    body = {id(module) for module in model.base_model.modules()}
    decoder = id(model.get_output_embeddings())
    for module in model.modules():
        is_layer = isinstance(module, torch.nn.Linear | torch.nn.LayerNorm)
        if is_layer and id(module) not in body and id(module) != decoder:
            module.forward = _in_float32(module.forward)


def _in_float32(forward: Any) -> Any:
    def widened(values: torch.Tensor) -> torch.Tensor:
        with torch.autocast(values.device.type, enabled=False):
            result: torch.Tensor = forward(values.float())
            return result

    return widened
