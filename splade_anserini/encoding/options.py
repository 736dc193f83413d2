"""The options of encoders and of encoding. Importing this module loads nothing heavy."""

import math
from dataclasses import dataclass

from splade_anserini.errors import InputError
from splade_anserini.records import DEFAULT_SCALE, POOLINGS, Pooling

DEFAULT_MAX_LENGTH = 256
"""Tokens of a text that are read unless the options or a card say otherwise: the paper's (SPLADE v2, section 5)."""

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How an encoder runs. Raises `InputError` for a value out of range.

    A `max_length` or `pooling` of None comes from the encoder's card or manifest, else it is 256 tokens or max pooling.
    """

    max_length: int | None = None
    """Tokens of a text that are read, special tokens included."""
    pooling: Pooling | None = None
    precision: str = "auto"
    """auto, fp32, bf16, fp16 or int8. auto: fp32 for a checkpoint, for an exported encoder the one it has."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:n or mps."""
    batch_size: int = 64
    """The most texts in a batch; on a CPU, long texts make smaller batches."""
    threads: int = 0
    """0: one for each processor."""
    low_latency: bool = False
    """Whether all threads work on one batch, so that a single text is encoded soonest; otherwise each has its own."""

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 3:
            raise InputError(f"--max-length must be at least 3 (two tokens are special), got {self.max_length}.")
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise InputError(f"--pooling must be {_one_of(POOLINGS)}, got {self.pooling!r}.")
        if self.precision not in PRECISIONS:
            raise InputError(f"--precision must be {_one_of(PRECISIONS)}, got {self.precision!r}.")
        if self.batch_size < 1:
            raise InputError(f"--batch-size must be at least 1, got {self.batch_size}.")
        if self.threads < 0:
            raise InputError(f"--threads must be at least 0, got {self.threads}.")


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """What is kept of a document, and how a corpus is cut into shards. Raises `InputError` for a value out of range."""

    scale: float = DEFAULT_SCALE
    """impact = round(weight × scale)."""
    top_k: int | None = None
    """Entries of a document that are kept, the greatest weights first; None: all."""
    contents: bool = True
    """Whether the text of a document is kept beside its vector."""
    docs_per_shard: int = 10_000
    """Documents in an output file."""
    shard_id: int = 0
    """Which part of the corpus is encoded here, from 0 …"""
    shard_num: int = 1
    """… and in how many parts the corpus is split over machines."""

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise InputError(f"--scale must be above 0, got {self.scale:g}.")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"--top-k must be at least 1, got {self.top_k}.", do="Leave it out to keep all entries.")
        if self.docs_per_shard < 1:
            raise InputError(f"--docs-per-shard must be at least 1, got {self.docs_per_shard}.")
        if self.shard_num < 1:
            raise InputError(f"--shard-num must be at least 1, got {self.shard_num}.")
        if self.shard_id < 0:
            raise InputError(f"--shard-id must be at least 0, got {self.shard_id}.")
        if self.shard_id >= self.shard_num:
            raise InputError(f"--shard-id must be less than --shard-num, got {self.shard_id} of {self.shard_num}.")


def unknown_device(name: str) -> InputError:
    """Return the error for a device that neither torch nor onnxruntime has a name for."""
    return InputError(f"--device must be auto, cpu, cuda, cuda:n or mps, got {name!r}.")


def _one_of(values: tuple[str, ...]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}"
