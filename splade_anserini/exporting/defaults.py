"""How an exported encoder is used where no option says it: as the manifest or description of its checkpoint says."""

from dataclasses import dataclass, replace
from pathlib import Path

from splade_anserini.artifacts.manifests import CheckpointManifest, read_manifest
from splade_anserini.errors import InputError
from splade_anserini.exporting.anserini_files import java_scale
from splade_anserini.exporting.options import ExportOptions
from splade_anserini.formats.sentence_transformers import SparseEncoderDescription, SpladeDescription, StaticDescription
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.published import published_description, require_described, set_up_tokenizer, static_length
from splade_anserini.records import DEFAULT_SCALE, SPLADE_MAX, Aggregation, QuerySide


@dataclass(frozen=True, slots=True)
class ExportDefaults:
    """What an exported encoder does where no option says it. A length of None is 256 tokens."""

    aggregation: Aggregation = SPLADE_MAX
    max_length: int | None = None
    query_max_length: int | None = None
    trained: CheckpointManifest | None = None
    """The manifest that `train` wrote."""
    scale: float = DEFAULT_SCALE
    query_side: QuerySide = "splade"
    prompt: str = ""
    query_prompt: str = ""
    query_idf: float = 0.0
    max_active_dims: int | None = None
    queries: SpladeDescription | StaticDescription | None = None
    """The description of the queries' side, when sentence-transformers' files describe the checkpoint."""


def defaults_of(checkpoint: Checkpoint, options: ExportOptions) -> ExportDefaults:
    """Return the defaults of a checkpoint with its options; its tokenizer is set up as its description says.

    Raises `InputError` for a description that this package does not encode with, `MismatchError` when an option
    contradicts it.
    """
    description = published_description(checkpoint.name)
    if description is None:
        defaults = trained_defaults(checkpoint)
    else:
        require_described(checkpoint.name, description.documents, options.pooling, options.activation)
        set_up_tokenizer(checkpoint.tokenizer, description.documents)
        defaults = _described(checkpoint, description)
    if options.anserini and (defaults.query_prompt or defaults.max_active_dims):
        setting = "prompt of queries" if defaults.query_prompt else "max_active_dims"
        raise InputError(
            f"--anserini is not possible: {checkpoint.name} has a {setting}, which Anserini's Java encoder ignores.",
            do="Leave out --anserini, and encode queries with splade-anserini.",
        )
    return with_options(defaults, options)


def trained_defaults(*checkpoints: Checkpoint) -> ExportDefaults:
    """Return the defaults of the first of these checkpoints that has a manifest of `train`."""
    manifests = (read_manifest(Path(checkpoint.name), CheckpointManifest) for checkpoint in checkpoints)
    trained = next((manifest for manifest in manifests if manifest), None)
    if trained is None:
        return ExportDefaults()
    return ExportDefaults(
        aggregation=trained.aggregation,
        max_length=trained.max_length,
        query_max_length=trained.query_max_length,
        trained=trained,
        scale=trained.scale,
        query_side=trained.query_side,
        prompt=trained.prompt,
        query_prompt=trained.query_prompt,
        query_idf=trained.query_idf,
    )


def with_options(defaults: ExportDefaults, options: ExportOptions) -> ExportDefaults:
    """Return the defaults with what the options say instead."""
    own = defaults.aggregation
    return replace(
        defaults,
        aggregation=Aggregation(options.pooling or own.pooling, options.activation or own.activation),
        scale=java_scale(options, defaults.trained) if options.anserini else options.scale or defaults.scale,
    )


def _described(checkpoint: Checkpoint, description: SparseEncoderDescription) -> ExportDefaults:
    if any(isinstance(side, SpladeDescription) and side.token_weights for side in description.sides):
        raise InputError(
            f"{checkpoint.name} limits vectors to the tokens of the text (SparseStaticEmbedding after SpladePooling), "
            "which an exported encoder cannot do.",
            do="Use the checkpoint itself.",
        )
    queries = description.queries
    if isinstance(queries, StaticDescription):
        query_max_length = static_length(queries, checkpoint.tokenizer)
    else:
        query_max_length = min(queries.max_length, checkpoint.max_length)
    return ExportDefaults(
        aggregation=description.documents.aggregation,
        max_length=min(description.documents.max_length, checkpoint.max_length),
        query_max_length=query_max_length,
        query_side=description.query_side,
        prompt=description.prompt,
        query_prompt=description.query_prompt,
        max_active_dims=description.max_active_dims,
        queries=queries,
    )
