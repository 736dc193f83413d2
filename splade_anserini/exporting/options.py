"""The options of export. Importing this module loads nothing heavy."""

import math
from dataclasses import dataclass
from typing import Literal

from splade_anserini.errors import InputError
from splade_anserini.records import POOLINGS, Pooling

type ExportPrecision = Literal["fp32", "int8"]

BOUNDS: dict[str, float] = {"fp32": 1e-4, "int8": 0.25}
"""Bounds on the differences from torch. fp32: of the greatest one. int8: of the mean, which is 0.10 for splade-mini."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How a checkpoint is exported. Raises `InputError` for a value out of range.

    Where they are None, `pooling` and `scale` come from the checkpoint's manifest, else they are max and 100.
    """

    pooling: Pooling | None = None
    precision: ExportPrecision = "fp32"
    anserini: bool = False
    """Whether to write model.anserini.onnx too, with the inputs and outputs of Anserini's Java encoder."""
    max_length: int | None = None
    """The longest input, in tokens, special tokens included; None: the model's."""
    scale: float | None = None
    """impact = round(weight × scale), as the encoder is used by default."""
    bound: float | None = None
    """The greatest difference from torch, see `BOUNDS`; None: that of the precision."""

    def __post_init__(self) -> None:
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise InputError(f"--pooling must be max, sum or norm, got {self.pooling!r}.")
        if self.precision not in BOUNDS:
            raise InputError(
                f"--precision must be fp32 or int8, got {self.precision!r}.",
                do="For bf16 and fp16, use the checkpoint without exporting it: torch runs it.",
            )
        if self.max_length is not None and self.max_length < 3:
            raise InputError(f"--max-length must be at least 3 (two tokens are special), got {self.max_length}.")
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise InputError(f"--scale must be above 0, got {self.scale:g}.")
        if self.bound is not None and not self.bound >= 0:
            raise InputError(f"--bound must be at least 0, got {self.bound:g}.")
