"""Opening an encoder by its name; this module alone chooses between onnxruntime and torch."""

import logging
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from splade_anserini.artifacts.manifests import QUERY_MODEL, CheckpointManifest, EncoderIdentity, read_manifest
from splade_anserini.cards.finding import EncoderSource, find_encoder
from splade_anserini.encoding.matching import DocumentEncoder, exported_manifest, origin_of
from splade_anserini.encoding.options import EncoderOptions
from splade_anserini.encoding.protocol import Encoder
from splade_anserini.encoding.usage import ModelUsage, Usage, scale_of, usage_of
from splade_anserini.errors import NOTE, InputError
from splade_anserini.modeling.published import require_described
from splade_anserini.records import DEFAULT_SCALE, Aggregation, Side, StrPath

if TYPE_CHECKING:
    from splade_anserini.encoding.tokenized import TokenFactors, TokenizedEncoder
    from splade_anserini.modeling.checkpoint import Checkpoint

_log = logging.getLogger(__name__)


def open_encoder(name: StrPath, options: EncoderOptions | None = None) -> Encoder:
    """Open an encoder of documents.

    `name` is the name or path of an encoder card, a directory that `export` wrote (run by onnxruntime), or a directory
    or Hugging Face id of a checkpoint with a masked-language-model head (run by torch).

    Pooling, activation, lengths and prompts are those of its card, its manifest, or the files of sentence-transformers.

    Raises `InputError` when there is no such encoder or it cannot run with these options, `MismatchError` when its card
    or an option contradicts its manifest or those files, and `IntegrityError` when it does not give the reference
    vectors of its card.
    """
    source = find_encoder(name)
    encoder = _open(source, options, usage_of(source).documents)
    _check_first_use(source, encoder, "document", options)
    return encoder


def open_query_encoder(
    name: StrPath, options: EncoderOptions | None = None, *, documents: EncoderIdentity | None = None
) -> Encoder:
    """Open the query encoder that belongs to an encoder of documents.

    It is the same model, no model at all (SPLADE-doc, IDF: see `BagEncoder`), or a second one, as the card, manifest or
    description says. Queries have a maximum length of their own. `name` and errors are those of `open_encoder`.
    `documents` is the identity of the encoder of an index: its pooling and activation are those of the queries too
    where nothing else says them.
    """
    source = find_encoder(name)
    usage = usage_of(source, _fallback(documents))
    encoder = _open_query_encoder(source, options, usage)
    encoder.document_encoder = _document_encoder(source, options, usage, encoder.identity)
    _check_first_use(source, encoder, "query", options)
    return encoder


def _document_encoder(
    source: EncoderSource, options: EncoderOptions | None, usage: Usage, queries: EncoderIdentity
) -> DocumentEncoder:
    """Return the encoder of documents to which the encoder of queries with the identity `queries` belongs."""
    exported = exported_manifest(source)
    same = queries if usage.query_side == "splade" else None
    known = exported.identity if exported else same
    trained = None if source.is_onnx else read_manifest(source.location, CheckpointManifest)

    def identity(load: bool) -> EncoderIdentity | None:
        own = known
        if own is None and load and not source.is_onnx and Path(source.location).is_dir():
            own = _identity_of_checkpoint(source, options, usage)
        settings = {"prompt": usage.documents.prompt, "max_active_dims": usage.documents.max_active_dims}
        return own and own.model_copy(update=settings)

    return DocumentEncoder(
        name=source.name,
        source=origin_of(source, exported),
        is_described=any((source.card, exported, usage.layout, trained)),
        is_checkpoint=not source.is_onnx,
        aggregation=known.aggregation if known else Aggregation(usage.pooling, usage.activation),
        identity=identity,
    )


def _identity_of_checkpoint(source: EncoderSource, options: EncoderOptions | None, usage: Usage) -> EncoderIdentity:
    """Load the model that encodes documents, which its queries do not need, and return its identity."""
    from splade_anserini.modeling.identity import identity
    from splade_anserini.modeling.published import load_published

    trust_remote_code = options is not None and options.trust_remote_code
    checkpoint = load_published(source.location, usage.documents.description, trust_remote_code=trust_remote_code)
    return identity(checkpoint, Aggregation(usage.pooling, usage.activation), "fp32")


def _fallback(documents: EncoderIdentity | None) -> Usage | None:
    return Usage(pooling=documents.pooling, activation=documents.activation) if documents else None


def _open_query_encoder(source: EncoderSource, options: EncoderOptions | None, usage: Usage) -> "TokenizedEncoder":
    if usage.query_side in {"doc", "idf"}:
        from splade_anserini.encoding.bag import open_bag

        return open_bag(source, options or EncoderOptions(), usage)
    if usage.query_side == "splade" and not source.card and (Path(source.location) / "idf.json").is_file():
        raise InputError(
            f"{source.name} has idf.json, by which queries of inference-free models are weighted, but no modules.json "
            "that says so.",
            expected="the whole directory as it was published, or the name of an encoder card",
            do="Download modules.json and the directories beside it, too, or remove idf.json.",
        )
    if usage.query_side == "separate" and usage.layout is None:
        source = _query_model(source)
        own = usage_of(source, usage)
        usage = replace(usage, pooling=own.pooling, activation=own.activation)
    return _open(source, options, usage.queries)


def _check_first_use(source: EncoderSource, encoder: Encoder, side: Side, options: EncoderOptions | None) -> None:
    """Compare an encoder with the reference vectors of its card, once per process.

    One that runs otherwise than its card says (another pooling, a reduced precision, few tokens) is not compared.
    """
    card, options = source.card, options or EncoderOptions()
    if card is None or not card.reference:
        return
    from splade_anserini.verification.card_references import SHORTEST, check_first_use

    changed = {options.pooling, options.activation} - {None, card.pooling, card.activation}
    if changed or options.precision in {"bf16", "fp16"} or encoder.max_length < SHORTEST:
        return
    check_first_use(card, side, encoder.encode, (encoder.identity.model_dump_json(),))


def default_scale(encoder: Encoder | StrPath) -> float:
    """Return the scale in the card or manifest of an encoder that is given by its name; else, or without one, 100.

    Raises `InputError` when there is no encoder of that name.
    """
    return scale_of(find_encoder(encoder)) if isinstance(encoder, str | PathLike) else DEFAULT_SCALE


def _completed(options: EncoderOptions | None, usage: ModelUsage) -> EncoderOptions:
    options = options or EncoderOptions()
    return replace(
        options,
        max_length=options.max_length or usage.max_length,
        pooling=options.pooling or usage.pooling,
        activation=options.activation or usage.activation,
    )


def _query_model(source: EncoderSource) -> EncoderSource:
    directory = Path(source.location) / QUERY_MODEL
    model = EncoderSource(name=source.name, location=str(directory))
    if not model.is_onnx and not (directory / "config.json").is_file():
        raise InputError(
            f"{source.name} has the query side `separate`, but {directory} holds no model.",
            expected="a directory with model.onnx (as export writes it) or config.json (a Hugging Face checkpoint)",
        )
    return model


def _open(source: EncoderSource, options: EncoderOptions | None, usage: ModelUsage) -> "TokenizedEncoder":
    completed = _completed(options, usage)
    if usage.description:
        require_described(source.name, usage.description, completed.pooling, completed.activation)
    encoder = _open_onnx(source, completed, usage) if source.is_onnx else _open_torch(source, completed, usage)
    if options and options.max_length and options.max_length > encoder.max_length:
        _log.log(
            NOTE,
            "Of a text %d tokens are read, not the %d that were asked for: %s reads no more.",
            encoder.max_length,
            options.max_length,
            source.name,
        )
    return encoder


def _open_onnx(source: EncoderSource, options: EncoderOptions, usage: ModelUsage) -> "TokenizedEncoder":
    from splade_anserini.encoding.onnx_encoder import OnnxEncoder

    model = usage.description
    if model and (model.subfolder or model.lower_case or model.token_weights):
        raise InputError(
            f"{source.name} is an ONNX graph, and modules.json asks for a subfolder, lower case or token weights.",
            expected="a graph in the main directory, of a model whose tokenizer does everything",
            do="Download the weights for torch too.",
        )
    encoder = OnnxEncoder(
        Path(source.location), options, name=source.name, prompt=usage.prompt, max_active_dims=usage.max_active_dims
    )
    for option, requested, exported in [
        ("precision", options.precision, encoder.identity.precision),
        ("pooling", options.pooling, encoder.identity.pooling),
        ("activation", options.activation, encoder.identity.activation),
    ]:
        if requested not in {None, "auto", exported}:
            raise InputError(
                f"{source.location} was exported with {option} {exported}, not {requested}.",
                do=f"Leave out --{option}, or export it again with --{option} {requested}.",
            )
    return encoder


def _open_torch(source: EncoderSource, options: EncoderOptions, usage: ModelUsage) -> "TokenizedEncoder":
    if options.precision == "int8":
        raise InputError(
            f"--precision int8 is for exported encoders, and {source.name} is a checkpoint.",
            do="Run splade-anserini export --precision int8 first.",
        )
    _require_plain_directory(Path(source.location))
    import torch

    from splade_anserini.encoding.torch_encoder import TorchEncoder
    from splade_anserini.modeling.published import load_published

    if options.threads:
        torch.set_num_threads(options.threads)
    checkpoint = load_published(source.location, usage.description, trust_remote_code=options.trust_remote_code)
    return TorchEncoder(
        checkpoint,
        options,
        name=source.name,
        prompt=usage.prompt,
        max_active_dims=usage.max_active_dims,
        token_factors=_token_factors(source, usage, checkpoint),
    )


def _token_factors(source: EncoderSource, usage: ModelUsage, checkpoint: "Checkpoint") -> "TokenFactors | None":
    """Return the factors of a text's own tokens, if sentence-transformers limits its entries to them."""
    from splade_anserini.encoding.tokenized import TokenFactors
    from splade_anserini.modeling.published import load_token_weights

    if usage.description is None or not usage.description.token_weights:
        return None
    return TokenFactors(*load_token_weights(source.location, usage.description.token_weights, checkpoint))


def _require_plain_directory(directory: Path) -> None:
    """Raise `InputError` for a directory of which a part would be ignored: an adapter, or a graph of another name."""
    if (directory / "adapter_config.json").is_file():
        raise InputError(
            f"{directory} has an adapter (adapter_config.json), which would be left out.",
            expected="a whole model",
            do="Merge the adapter into the model and save that: PeftModel.merge_and_unload.",
        )
    weights = [*directory.glob("*.safetensors"), *directory.glob("*.bin")]
    graphs = [*directory.glob("*.onnx"), *directory.glob("onnx/*.onnx")]
    if graphs and not weights:
        raise InputError(
            f"{directory} has no model.onnx, but {graphs[0].relative_to(directory)}.",
            expected="model.onnx or onnx/model.onnx",
            do="Rename the graph that is to be used.",
        )
