"""What makes an encoder directory: graph, tokenizer and manifest, checked against torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from splade_anserini.artifacts.fingerprints import fingerprint_of_file
from splade_anserini.artifacts.manifests import (
    QUERY_MODEL,
    CheckpointManifest,
    EncoderIdentity,
    EncoderManifest,
    ParityReport,
    read_manifest,
    write_manifest,
)
from splade_anserini.errors import InputError, IntegrityError
from splade_anserini.exporting.anserini_graph import for_anserini
from splade_anserini.exporting.exported_queries import copy_query_weights, load_query_checkpoint
from splade_anserini.exporting.onnx_graph import OPSET, require_exporter, save_graph, splade_graph
from splade_anserini.exporting.parity import (
    BATCH,
    Texts,
    compare,
    weights_of_anserini_graph,
    weights_of_graph,
    weights_of_torch,
)
from splade_anserini.exporting.pool_early import pool_early
from splade_anserini.exporting.quantize_graph import quantize_graph
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.identity import vocabulary_fingerprint
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.vocabulary import plain_tokenizer, serialized
from splade_anserini.records import DEFAULT_SCALE, POOLINGS, Pooling

type Precision = Literal["fp32", "int8"]

BOUNDS: dict[str, float] = {"fp32": 1e-4, "int8": 0.25}
"""fp32: on the greatest difference. int8: on the mean; splade-mini strays by 0.10."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to export. What is None comes from the checkpoint's manifest, else max pooling, 100, the model's length.

    Raises `InputError` for what cannot be.
    """

    pooling: Pooling | None = None
    precision: Precision = "fp32"
    anserini: bool = False
    max_length: int | None = None
    scale: float | None = None
    bound: float | None = None

    def __post_init__(self) -> None:
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise InputError(f"There is no pooling {self.pooling!r}.", expected=f"one of {', '.join(POOLINGS)}")
        if self.precision not in BOUNDS:
            raise InputError(
                f"Nothing is exported with precision {self.precision!r}.",
                expected="fp32 or int8",
                do="For bf16 and fp16, run the checkpoint itself, with torch.",
            )
        if self.scale is not None and self.scale <= 0:
            raise InputError(f"The scale is {self.scale:g}.", expected="a number above 0")


def write_encoder(
    checkpoint: Checkpoint, directory: Path, name: str, options: ExportOptions, texts: Sequence[str]
) -> EncoderManifest:
    """Fill `directory`, for documents and queries; return the manifest.

    Raises `IntegrityError` when a graph strays from torch on `texts`.
    """
    require_exporter()
    if not texts:
        raise InputError("There is no text to compare the export with torch on.", expected="some real texts")
    trained = read_manifest(Path(checkpoint.name), CheckpointManifest)
    query_side = trained.query_side if trained else "splade"
    query_weights = copy_query_weights(checkpoint, directory) if query_side == "idf" else None
    if query_side == "separate":
        queries, place = load_query_checkpoint(checkpoint), directory / QUERY_MODEL
        place.mkdir()
        trained_queries = read_manifest(Path(queries.name), CheckpointManifest) or trained
        write_manifest(place, _write_model(queries, place, f"{name}/{QUERY_MODEL}", options, texts, trained_queries))
    manifest = _write_model(checkpoint, directory, name, options, texts, trained).model_copy(
        update={"query_side": query_side, "query_weights": query_weights}
    )
    write_manifest(directory, manifest)
    return manifest


def _write_model(
    checkpoint: Checkpoint,
    directory: Path,
    name: str,
    options: ExportOptions,
    texts: Sequence[str],
    trained: CheckpointManifest | None,
) -> EncoderManifest:
    """Write graphs and tokenizer; return a manifest of them, which takes from `trained` what the options leave open."""
    max_length = _max_length(checkpoint, options)
    splade = Splade.of(checkpoint, options.pooling or (trained.pooling if trained else "max"))
    scale = options.scale or (trained.scale if trained else DEFAULT_SCALE)
    _write_graphs(splade, checkpoint, directory, options)
    (directory / "tokenizer.json").write_bytes(serialized(checkpoint.tokenizer))
    tokens = Texts.of(texts, plain_tokenizer(checkpoint.tokenizer), max_length)
    return EncoderManifest(
        identity=EncoderIdentity(
            name=name,
            weights=fingerprint_of_file(directory / "model.onnx"),
            tokenizer=fingerprint_of_file(directory / "tokenizer.json"),
            vocabulary=vocabulary_fingerprint(checkpoint),
            pooling=splade.pooling,
            precision=options.precision,
        ),
        source=checkpoint.name,
        max_length=max_length,
        default_max_length=trained.max_length if trained else None,
        default_query_max_length=trained.query_max_length if trained else None,
        scale=scale,
        opset=OPSET,
        parity=_checked(splade, directory, options, scale, tokens),
    )


def _write_graphs(splade: Splade, checkpoint: Checkpoint, directory: Path, options: ExportOptions) -> None:
    graph = splade_graph(splade, token_types=checkpoint.takes_token_types)
    pool_early(graph)
    if options.precision == "int8":
        quantize_graph(graph)
    save_graph(graph, directory / "model.onnx")
    if options.anserini:
        for_anserini(graph)
        save_graph(graph, directory / "model.anserini.onnx")


def _max_length(checkpoint: Checkpoint, options: ExportOptions) -> int:
    longest = checkpoint.max_length
    if options.max_length is not None and not 3 <= options.max_length <= longest:
        raise InputError(f"The maximum length is {options.max_length} tokens.", expected=f"3 to {longest}, the model's")
    return options.max_length or longest


def _checked(splade: Splade, directory: Path, options: ExportOptions, scale: float, tokens: Texts) -> ParityReport:
    """Compare torch, one text at a time, with the graph: one at a time, in padded batches, and Anserini's."""
    expected = weights_of_torch(splade, tokens)
    path = directory / "model.onnx"
    single = weights_of_graph(path, tokens, 1)
    found = [single]
    if options.precision == "fp32":
        found.append(weights_of_graph(path, tokens, BATCH))
    if options.anserini:
        found.append(weights_of_anserini_graph(directory / "model.anserini.onnx", tokens, expected.shape[1]))
    bound = BOUNDS[options.precision] if options.bound is None else options.bound
    report = compare(
        np.concatenate([expected] * len(found)), np.concatenate(found), scale=scale, bound=bound
    ).model_copy(update={"texts": len(expected)})
    strayed = report.max_difference if options.precision == "fp32" else report.mean_difference
    if not strayed <= bound:
        kind = "greatest" if options.precision == "fp32" else "mean"
        raise IntegrityError(
            f"The export strays from torch: the {kind} difference between weights is {strayed:.3g}.",
            expected=f"at most {bound:g}",
            do="Export with --precision fp32." if options.precision == "int8" else "Please report this model.",
        )
    return report
