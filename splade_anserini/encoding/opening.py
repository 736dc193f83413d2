"""From a name to an encoder: the only place that chooses between onnxruntime and torch."""

from dataclasses import replace
from pathlib import Path

from splade_anserini.artifacts.manifests import QUERY_MODEL
from splade_anserini.cards.finding import EncoderSource, find_encoder
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.usage import Usage, usage_of
from splade_anserini.errors import InputError


def open_encoder(name: str, options: EncoderOptions | None = None) -> Encoder:
    """Open a card's name, an encoder directory, or a Hugging Face id or directory of a checkpoint.

    Raises `InputError` when there is no such encoder, or it cannot run as asked.
    """
    source = find_encoder(name)
    usage = usage_of(source)
    return _open(source, _completed(options, usage, usage.max_length))


def open_query_encoder(name: str, options: EncoderOptions | None = None) -> Encoder:
    """Open what encodes the queries of an encoder: the same model, its tokenizer alone, or a model of their own.

    Queries have a length of their own. Raises `InputError` as `open_encoder` does.
    """
    source = find_encoder(name)
    usage = usage_of(source)
    if usage.query_side in {"doc", "idf"}:
        from splade_anserini.encoding.bag import open_bag

        options = _completed(options, usage, usage.query_max_length)
        return open_bag(source, options, weighted=usage.query_side == "idf")
    if usage.query_side == "separate":
        source = _model_of_queries(source)
        usage = replace(usage, pooling=usage_of(source, usage).pooling)
    return _open(source, _completed(options, usage, usage.query_max_length))


def default_scale(name: str) -> float:
    """Return the scale that an encoder's card or manifest names, else 100."""
    return usage_of(find_encoder(name)).scale


def _completed(options: EncoderOptions | None, usage: Usage, max_length: int) -> EncoderOptions:
    options = options or EncoderOptions()
    return replace(options, max_length=options.max_length or max_length, pooling=options.pooling or usage.pooling)


def _model_of_queries(source: EncoderSource) -> EncoderSource:
    directory = Path(source.location) / QUERY_MODEL
    found = EncoderSource(name=source.name, location=str(directory))
    if not found.is_onnx and not (directory / "config.json").is_file():
        raise InputError(
            f"The queries of {source.name} have a model of their own, but there is none at {directory}.",
            expected="a directory with model.onnx (as export writes it) or config.json (a Hugging Face checkpoint)",
        )
    return found


def _open(source: EncoderSource, options: EncoderOptions) -> Encoder:
    return _open_onnx(source, options) if source.is_onnx else _open_torch(source, options)


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
    return TorchEncoder(load_checkpoint(source.location), options, name=source.name)
