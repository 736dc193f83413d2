"""How an encoder is run, checked when it is said."""

from dataclasses import dataclass

from splade_anserini.errors import InputError
from splade_anserini.records import POOLINGS, Pooling

LONGEST = 256
"""Tokens of a text that are read unless the options or a card say otherwise: the paper's (SPLADE v2, section 5)."""

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How to run an encoder. What is None comes from its card or manifest, else 256 tokens and max pooling."""

    max_length: int | None = None
    pooling: Pooling | None = None
    precision: str = "auto"
    device: str = "auto"
    batch_size: int = 64
    """The most texts in a batch; on a CPU, long texts make smaller ones."""
    threads: int = 0
    """0: as many as there are cores."""
    low_latency: bool = False
    """All threads on one batch, for the soonest answer; otherwise the most texts a second."""

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 3:
            raise InputError(
                f"The maximum length is {self.max_length} tokens.", expected="at least 3: two are special tokens"
            )
        if self.precision not in PRECISIONS:
            raise InputError(f"There is no precision {self.precision!r}.", expected=f"one of {', '.join(PRECISIONS)}")
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise InputError(f"There is no pooling {self.pooling!r}.", expected=f"one of {', '.join(POOLINGS)}")
        if self.batch_size < 1 or self.threads < 0:
            raise InputError(f"Batch size {self.batch_size}, threads {self.threads}.", expected="positive numbers")
