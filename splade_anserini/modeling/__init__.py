"""The SPLADE model: pooling, training form, warm start. A name loads its module, and torch, when it is first used."""

from importlib import import_module
from typing import Any

_MODULES = {
    "Checkpoint": "checkpoint",
    "Splade": "splade",
    "WarmStart": "warm_start",
    "calibrate": "warm_start",
    "load_checkpoint": "checkpoint",
    "max_pool": "pooling",
    "norm_pool": "pooling",
    "pool": "pooling",
    "saturate": "pooling",
    "sum_pool": "pooling",
}

__all__ = [
    "Checkpoint",
    "Splade",
    "WarmStart",
    "calibrate",
    "load_checkpoint",
    "max_pool",
    "norm_pool",
    "pool",
    "saturate",
    "sum_pool",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
