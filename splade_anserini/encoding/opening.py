"""From a name to an encoder: the only place that chooses between onnxruntime and torch."""

from dataclasses import replace
from pathlib import Path

from splade_anserini.cards import EncoderSource, find_encoder
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.errors import InputError
from splade_anserini.manifests import EncoderManifest, read_manifest

DEFAULT_SCALE = 100.0


def open_encoder(name: str, options: EncoderOptions | None = None) -> Encoder:
    """Open a card's name, an encoder directory, or a Hugging Face id or directory of a checkpoint.

    Raises `InputError` when there is no such encoder, or it cannot run as asked.
    """
    source = find_encoder(name)
    options = options or EncoderOptions()
    if options.max_length is None and source.card:
        options = replace(options, max_length=source.card.max_length)
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


def _open_onnx(source: EncoderSource, options: EncoderOptions) -> Encoder:
    from splade_anserini.encoding.onnx_encoder import OnnxEncoder

    encoder = OnnxEncoder(Path(source.location), options, name=source.name)
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
    if options.pooling is None and source.card:
        options = replace(options, pooling=source.card.pooling)
    return TorchEncoder(load_checkpoint(source.location), options, name=source.name)
