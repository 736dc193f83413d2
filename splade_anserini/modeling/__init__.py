"""SPLADE itself: the model, its pooling, its warm start and its export. Torch is imported when a name is first used."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Checkpoint": "checkpoint",
    "Splade": "splade",
    "WarmStart": "warm_start",
    "load_checkpoint": "checkpoint",
    "max_pool": "pooling",
    "norm_pool": "pooling",
    "pool": "pooling",
    "calibrate": "warm_start",
    "saturate": "activation",
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
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
