"""The options of export. Importing this module loads nothing heavy."""

from typing import Literal

from splade_anserini.modeling.options import remote_code_option
from splade_anserini.options import option, options
from splade_anserini.records import Activation, Pooling
from splade_anserini.vectors.scale import scale_option

type ExportPrecision = Literal["fp32", "int8"]

BOUNDS: dict[str, float] = {"fp32": 1e-4, "int8": 0.25}
"""Bounds on the differences from torch. fp32: of the greatest one. int8: of the mean, which is 0.10 for splade-mini."""


@options
class ExportOptions:
    """How a checkpoint is exported."""

    pooling: Pooling | None = option(
        default=None, help="max (SPLADE v2), sum (v1) or norm (between them).", unset="the checkpoint's, or max"
    )
    activation: Activation | None = option(
        default=None,
        help="relu: log(1 + ReLU(x)) of a logit x; log1p_relu: log(1 + log(1 + ReLU(x))).",
        unset="the checkpoint's, or relu",
    )
    precision: ExportPrecision = option(
        default="fp32",
        help="fp32, or int8: a quarter of the size, and twice as fast. For bf16 and fp16, use the checkpoint itself.",
    )
    anserini: bool = option(
        default=False, help="Write model.anserini.onnx and vocab.txt too, for Anserini's Java encoder."
    )
    max_length: int | None = option(
        default=None, least=3, help="Longest input, in tokens, special tokens included.", unset="the model's"
    )
    scale: float | None = scale_option(
        help="impact = round(weight × scale), as the encoder is used by default; 256/5 is SPLADE++'s.",
        unset="the checkpoint's, or 100; with --anserini 256/5",
    )
    bound: float | None = option(
        default=None, least=0, help="Greatest difference from torch.", unset="1e-4; with int8 0.25, of the mean"
    )
    trust_remote_code: bool = remote_code_option()

    @property
    def allowed_difference(self) -> float:
        """The bound of the option, else that of the precision."""
        return BOUNDS[self.precision] if self.bound is None else self.bound

    @property
    def bounded_measure(self) -> Literal["greatest", "mean"]:
        """Which difference is bounded."""
        return "greatest" if self.precision == "fp32" else "mean"
