"""Linear layers with weights in oneDNN's own layout: on CPUs, a fifth faster than torch's in float32."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from splade_anserini.modeling.precision import has_native_bf16


class PackedLinear(torch.nn.Module):
    """A linear layer for inference on the CPU; it computes in the precision of `weight`, [out, in]."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        operators: Any = torch.ops.mkldnn
        self._run = operators._linear_pointwise  # noqa: SLF001  # as torch's compiler calls it; `can_pack` tries it
        self._weight = operators._reorder_linear_weight(weight.detach())  # noqa: SLF001
        self._bias = None if bias is None else bias.detach().to(weight.dtype, copy=True)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return values @ weight.T + bias."""
        result: torch.Tensor = self._run(values, self._weight, self._bias, "none", [], "")
        return result


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Return whether packed layers in `dtype` work, with exact results, with this torch and processor."""
    weight, values = torch.eye(16, dtype=dtype).repeat(2, 1), torch.arange(48.0).view(3, 16).to(dtype)
    if dtype == torch.bfloat16 and not has_native_bf16():
        return False
    try:
        products = PackedLinear(weight, torch.ones(32))(values)
    except (RuntimeError, AttributeError, NotImplementedError):  # another build, processor or version
        return False
    return bool(torch.equal(products, torch.nn.functional.linear(values, weight, torch.ones(32, dtype=dtype))))


def packed_product(weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function values → values @ weight.T, with `weight`, [out, in], packed where that is possible."""
    if weight.device.type == "cpu" and can_pack(weight.dtype):
        return PackedLinear(weight)
    return lambda values: torch.nn.functional.linear(values, weight)


def pack(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Replace the linear layers inside `module`, in place, by packed ones in `dtype` where that is possible."""
    for name, child in list(module.named_children()):
        if type(child) is not torch.nn.Linear:
            pack(child, dtype)
        elif child.weight.device.type == "cpu" and can_pack(dtype):
            setattr(module, name, PackedLinear(child.weight.to(dtype), child.bias))
