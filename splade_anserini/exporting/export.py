"""Writing an encoder directory: graph, tokenizer and manifest, once the graph agrees with torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from splade_anserini.artifacts.fingerprints import fingerprint_of_file, fingerprint_of_vocabulary
from splade_anserini.artifacts.manifests import (
    QUERY_MODEL,
    EncoderIdentity,
    EncoderManifest,
    write_manifest,
)
from splade_anserini.artifacts.parity_report import ParityReport
from splade_anserini.errors import InputError, IntegrityError
from splade_anserini.exporting.anserini_files import (
    JAVA_MAX_LENGTH,
    JAVA_MODEL,
    JAVA_VOCABULARY,
    require_java_tokenizer,
    write_java_vocabulary,
)
from splade_anserini.exporting.anserini_graph import for_anserini
from splade_anserini.exporting.defaults import ExportDefaults, defaults_of, trained_defaults, with_options
from splade_anserini.exporting.exported_queries import export_query_weights, load_query_checkpoint
from splade_anserini.exporting.onnx_graph import OPSET, require_exporter, save_graph, splade_graph
from splade_anserini.exporting.options import ExportOptions
from splade_anserini.exporting.parity import (
    BATCH_SIZE,
    TokenizedTexts,
    compare,
    weights_of_anserini_graph,
    weights_of_graph,
    weights_of_torch,
)
from splade_anserini.exporting.pool_early import pool_early
from splade_anserini.exporting.quantize_graph import quantize_graph
from splade_anserini.formats.sentence_transformers import SpladeDescription
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.headless import padding_counts
from splade_anserini.modeling.identity import weights_fingerprint
from splade_anserini.modeling.remote_code import remote_code_fingerprint
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.vocabulary import plain_tokenizer, serialized, unindexable_ids, vocabulary


def write_encoder(
    checkpoint: Checkpoint, directory: Path, name: str, options: ExportOptions, texts: Sequence[str]
) -> EncoderManifest:
    """Write graphs, tokenizer and manifest of documents and queries into an empty directory; return the manifest.

    Raises `IntegrityError` when a graph and torch differ on `texts` by more than the bound, `InputError` when there are
    no texts, or the checkpoint lacks what its queries need, and `DependencyError` when the exporter is not installed.
    """
    require_exporter()
    if not texts:
        raise InputError("There are no texts to compare the export with torch on.", expected="some real texts")
    defaults = defaults_of(checkpoint, options)
    query_weights = None
    if defaults.query_side == "idf":
        query_weights = export_query_weights(checkpoint, defaults.queries, directory)
    if defaults.query_side == "separate":
        _write_query_model(checkpoint, defaults, directory, name, options, texts)
    manifest = _write_model(checkpoint, directory, name, options, texts, defaults).model_copy(
        update={"query_weights": query_weights}
    )
    write_manifest(directory, manifest)
    return manifest


def _write_query_model(
    checkpoint: Checkpoint,
    defaults: ExportDefaults,
    directory: Path,
    name: str,
    options: ExportOptions,
    texts: Sequence[str],
) -> None:
    queries = load_query_checkpoint(checkpoint, defaults.queries, trust_remote_code=options.trust_remote_code)
    query_directory = directory / QUERY_MODEL
    query_directory.mkdir()
    if isinstance(defaults.queries, SpladeDescription):
        own = replace(defaults, aggregation=defaults.queries.aggregation, max_length=defaults.query_max_length)
    else:
        own = with_options(trained_defaults(queries, checkpoint), options)
    own = replace(own, query_side="splade", prompt=defaults.query_prompt)
    manifest = _write_model(queries, query_directory, f"{name}/{QUERY_MODEL}", options, texts, own)
    write_manifest(query_directory, manifest)


def _require_precision(checkpoint: Checkpoint, options: ExportOptions) -> None:
    """Raise `InputError` for a graph that would run on batches, of a model for which padding counts."""
    if options.precision != "int8" and padding_counts(checkpoint.model):
        raise InputError(
            f"{checkpoint.name} cannot be exported with --precision {options.precision}: padding changes its vectors, "
            "and graphs are run on batches of texts of different lengths.",
            do="Use --precision int8, which encodes one text at a time, or encode with the checkpoint.",
        )


def _write_model(
    checkpoint: Checkpoint,
    directory: Path,
    name: str,
    options: ExportOptions,
    texts: Sequence[str],
    defaults: ExportDefaults,
) -> EncoderManifest:
    """Write graphs and tokenizer; return their manifest, without query weights."""
    max_length = _max_length(checkpoint, options)
    plain = plain_tokenizer(checkpoint.tokenizer)
    if options.anserini:
        require_java_tokenizer(plain)
    _require_precision(checkpoint, options)
    weights = weights_fingerprint(checkpoint.model)
    splade = Splade.of(checkpoint, defaults.aggregation)
    _write_graphs(splade, checkpoint, directory, options)
    (directory / "tokenizer.json").write_bytes(serialized(checkpoint.tokenizer))
    tokens = vocabulary(checkpoint.tokenizer, checkpoint.vocabulary_size)
    if options.anserini:
        write_java_vocabulary(tokens, directory / JAVA_VOCABULARY)
    tokenized = TokenizedTexts.of(texts, plain, max_length)
    return EncoderManifest(
        identity=EncoderIdentity(
            name=name,
            weights=fingerprint_of_file(directory / "model.onnx"),
            checkpoint=weights,
            tokenizer=fingerprint_of_file(directory / "tokenizer.json"),
            vocabulary=fingerprint_of_vocabulary(tokens),
            pooling=splade.aggregation.pooling,
            activation=splade.aggregation.activation,
            precision=options.precision,
            unindexable_entries=len(unindexable_ids(tokens)),
            remote_code=remote_code_fingerprint(checkpoint.model, checkpoint.model.config, checkpoint.tokenizer),
            prompt=defaults.prompt,
            max_active_dims=defaults.max_active_dims,
        ),
        source=checkpoint.name,
        max_length=max_length,
        default_max_length=defaults.max_length,
        default_query_max_length=min(JAVA_MAX_LENGTH, max_length) if options.anserini else defaults.query_max_length,
        scale=defaults.scale,
        query_side=defaults.query_side,
        query_prompt=defaults.query_prompt,
        query_idf=defaults.query_idf,
        opset=OPSET,
        parity=_checked_parity(splade, directory, options, defaults.scale, tokenized),
    )


def _write_graphs(splade: Splade, checkpoint: Checkpoint, directory: Path, options: ExportOptions) -> None:
    graph = splade_graph(splade, token_types=checkpoint.takes_token_types)
    pool_early(graph)
    if options.precision == "int8":
        quantize_graph(graph)
    save_graph(graph, directory / "model.onnx")
    if options.anserini:
        for_anserini(graph)
        save_graph(graph, directory / JAVA_MODEL)


def _max_length(checkpoint: Checkpoint, options: ExportOptions) -> int:
    longest = checkpoint.max_length
    if options.max_length is not None and options.max_length > longest:
        raise InputError(f"--max-length must be at most {longest} for this model, got {options.max_length}.")
    return options.max_length or longest


def _checked_parity(
    splade: Splade, directory: Path, options: ExportOptions, scale: float, texts: TokenizedTexts
) -> ParityReport:
    """Compare torch, one text at a time, with the graph, one text at a time and in padded batches, and Anserini's.

    Raises `IntegrityError` when they differ by more than the bound.
    """
    expected = weights_of_torch(splade, texts)
    path = directory / "model.onnx"
    exported = [weights_of_graph(path, texts, 1)]
    if options.precision == "fp32":
        exported.append(weights_of_graph(path, texts, BATCH_SIZE))
    if options.anserini:
        exported.append(weights_of_anserini_graph(directory / JAVA_MODEL, texts, expected.shape[1]))
    bound, measure = options.allowed_difference, options.bounded_measure
    report = compare(
        np.concatenate([expected] * len(exported)), np.concatenate(exported), scale=scale, bound=bound
    ).model_copy(update={"texts": len(expected)})
    difference = report.max_difference if measure == "greatest" else report.mean_difference
    if not difference <= bound:
        raise IntegrityError(
            f"The exported graph differs from torch: the {measure} difference between weights is {difference:.3g}.",
            expected=f"at most {bound:g}",
            do="Export with --precision fp32." if options.precision == "int8" else "Please report this model.",
        )
    return report
