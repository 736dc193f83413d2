"""The options of encoders and of encoding. Importing this module loads nothing heavy."""

import math
from typing import Literal

from splade_anserini.errors import InputError
from splade_anserini.formats.passages import Windows
from splade_anserini.modeling.options import remote_code_option
from splade_anserini.options import option, options
from splade_anserini.records import DEFAULT_SCALE, Activation, Aggregation, Pooling

DEFAULT_MAX_LENGTH = 256
"""Tokens of a text that are read unless the options or a card say otherwise: the paper's (SPLADE v2, section 5)."""

DEFAULT_BATCH_SIZE, GPU_BATCH_SIZE = 64, 1024
"""Most texts in a batch where the options do not say otherwise."""

WINDOW, GPU_WINDOW = 256, 8192
"""Texts that are read ahead and sorted by length. On a GPU, whose batches are large, they leave 3 to 7 % of padding."""

type Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]


@options
class EncoderOptions:
    """How an encoder runs. Raises `InputError` for a value out of range.

    A `max_length`, `pooling` or `activation` of None comes from the encoder's card or manifest, else it is 256 tokens
    (for queries all that the model reads), `max` or `relu`.
    """

    max_length: int | None = option(
        default=None,
        # Two tokens are special.
        least=3,
        help="Tokens of a text that are read, special tokens included.",
        unset="the encoder's, or 256",
    )
    pooling: Pooling | None = option(default=None, help="Pooling of the model.", unset="the encoder's, or max")
    activation: Activation | None = option(
        default=None,
        help="relu: log(1 + ReLU(x)) of a logit x; log1p_relu: log(1 + log(1 + ReLU(x))).",
        unset="the encoder's, or relu",
    )
    precision: Precision = option(
        default="auto", help="auto: fp32 for a checkpoint, for an exported encoder the one it has.", recorded=False
    )
    device: str = option(
        default="auto",
        help="auto, cpu, cuda, cuda:n or mps; for encode also several, as cuda:0,cuda:1, or cuda:all.",
        recorded=False,
    )
    batch_size: int | None = option(
        default=None,
        least=1,
        help="Most texts in a batch; long texts make smaller batches.",
        unset="64, on a GPU 1024",
        recorded=False,
    )
    threads: int = option(default=0, least=0, help="Threads. 0: one per core.", recorded=False)
    trust_remote_code: bool = remote_code_option()
    low_latency: bool = option(
        default=False,
        help="All threads work on one batch, so that a single text is encoded soonest.",
        python_only=True,
        recorded=False,
    )

    @property
    def aggregation(self) -> Aggregation:
        """Pooling and activation together, with the defaults of an encoder that says neither."""
        return Aggregation(self.pooling or "max", self.activation or "relu")


@options
class EncodeOptions:
    """What is kept of a document, and how a corpus is cut into shards. Raises `InputError` for a value out of range."""

    scale: float = option(default=DEFAULT_SCALE, help="impact = round(weight × scale).", python_only=True)
    top_k: int | None = option(
        default=None, least=1, help="Static pruning: keep the k greatest weights of a document.", unset="all"
    )
    contents: bool = option(default=True, help="Keep the text beside the vector.")
    passages: str | None = option(
        default=None,
        metavar="WORDS/STRIDE",
        help="Encode passages of so many words, as 150/75, with ids doc#n; search --max-passage '#' finds documents.",
    )
    docs_per_shard: int = option(default=10_000, least=1, help="Documents in an output file.")
    shard_id: int = option(default=0, least=0, help="Which part of the corpus to encode here, from 0.")
    shard_num: int = option(default=1, least=1, help="In how many parts the corpus is split over machines.")

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise InputError(f"--scale must be above 0, got {self.scale:g}.")
        if self.passages is not None:
            Windows.parse(self.passages)
        if self.shard_id >= self.shard_num:
            raise InputError(f"--shard-id must be less than --shard-num, got {self.shard_id} of {self.shard_num}.")


def unknown_device(name: str) -> InputError:
    """Return the error for a device that neither torch nor onnxruntime has a name for."""
    return InputError(f"--device must be auto, cpu, cuda, cuda:n or mps, got {name!r}.")
