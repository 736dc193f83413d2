"""From a name to an encoder: the only place that chooses between onnxruntime and torch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from splade_anserini.cards import EncoderSource, find_encoder
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.errors import InputError
from splade_anserini.manifests import EncoderManifest, Pooling, read_manifest

DEFAULT_SCALE = 100.0
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How to run an encoder. What is None comes from the encoder's card, else 256 tokens and max pooling."""

    max_length: int | None = None
    pooling: Pooling | None = None
    precision: str = "auto"
    device: str = "auto"
    batch_size: int = 32
    threads: int = 0
    """0: as many as there are cores."""

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 3:
            raise InputError(
                f"The maximum length is {self.max_length} tokens.", expected="at least 3: two are special tokens"
            )
        if self.precision not in PRECISIONS:
            raise InputError(f"There is no precision {self.precision!r}.", expected=f"one of {', '.join(PRECISIONS)}")
        if self.pooling is not None and self.pooling not in get_args(Pooling.__value__):
            raise InputError(f"There is no pooling {self.pooling!r}.", expected="max or sum")
        if self.batch_size < 1 or self.threads < 0:
            raise InputError(f"Batch size {self.batch_size}, threads {self.threads}.", expected="positive numbers")


def open_encoder(name: str, options: EncoderOptions | None = None) -> Encoder:
    """Open a card's name, an encoder directory, or a Hugging Face id or directory of a checkpoint.

    Raises `InputError` when there is no such encoder, or it cannot run as asked.
    """
    source = find_encoder(name)
    options = options or EncoderOptions()
    return _open_onnx(source, options) if source.is_onnx else _open_torch(source, options)


def open_query_encoder(name: str, options: EncoderOptions | None = None) -> Encoder:
    """Open an encoder for queries: the same, but for the length that a card names for them."""
    options = options or EncoderOptions()
    card = find_encoder(name).card
    if card and options.max_length is None:
        options = replace(options, max_length=card.query_max_length)
    return open_encoder(name, options)


def default_scale(name: str) -> float:
    """Return the scale that an encoder's card or manifest names, else 100."""
    source = find_encoder(name)
    if source.card:
        return source.card.scale
    manifest = read_manifest(Path(source.location), EncoderManifest) if source.is_onnx else None
    return manifest.scale if manifest else DEFAULT_SCALE


def _max_length(source: EncoderSource, options: EncoderOptions) -> int:
    return options.max_length or (source.card.max_length if source.card else 256)


def _open_onnx(source: EncoderSource, options: EncoderOptions) -> Encoder:
    from splade_anserini.encoding.onnx_encoder import OnnxEncoder

    encoder = OnnxEncoder(
        Path(source.location),
        name=source.name,
        max_length=_max_length(source, options),
        device=options.device,
        batch_size=options.batch_size,
        threads=options.threads,
    )
    for what, asked, given in [
        ("precision", options.precision, encoder.identity.precision),
        ("pooling", options.pooling, encoder.identity.pooling),
    ]:
        if asked not in {None, "auto", given}:
            raise InputError(
                f"{source.location} was exported with {what} {given}, not {asked}.",
                do=f"Leave out --{what}, or export it again with --{what} {asked}.",
            )
    return encoder


def _open_torch(source: EncoderSource, options: EncoderOptions) -> Encoder:
    if options.precision == "int8":
        raise InputError("int8 is for exported encoders.", do="Run splade-anserini export --precision int8 first.")
    import torch

    from splade_anserini.encoding.torch_encoder import TorchEncoder
    from splade_anserini.modeling.checkpoint import load_checkpoint

    if options.threads:
        torch.set_num_threads(options.threads)
    return TorchEncoder(
        load_checkpoint(source.location),
        name=source.name,
        pooling=options.pooling or (source.card.pooling if source.card else "max"),
        max_length=_max_length(source, options),
        device=options.device,
        precision="fp32" if options.precision == "auto" else options.precision,
        batch_size=options.batch_size,
    )
