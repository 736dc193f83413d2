"""What makes an encoder directory: graph, tokenizer and manifest, checked against torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from splade_anserini.errors import InputError, IntegrityError
from splade_anserini.fingerprints import fingerprint_of_file
from splade_anserini.manifests import POOLINGS, EncoderIdentity, EncoderManifest, ParityReport, Pooling, write_manifest
from splade_anserini.modeling.anserini_graph import for_anserini
from splade_anserini.modeling.checkpoint import Checkpoint
from splade_anserini.modeling.identity import vocabulary_fingerprint
from splade_anserini.modeling.onnx_graph import OPSET, require_exporter, save_graph, splade_graph
from splade_anserini.modeling.parity import (
    BATCH,
    Texts,
    compare,
    weights_of_anserini_graph,
    weights_of_graph,
    weights_of_torch,
)
from splade_anserini.modeling.pool_early import pool_early
from splade_anserini.modeling.quantize_graph import quantize_graph
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.vocabulary import plain_tokenizer, serialized

type Precision = Literal["fp32", "int8"]

BOUNDS: dict[str, float] = {"fp32": 1e-4, "int8": 0.25}
"""fp32: on the greatest difference. int8: on the mean; splade-mini strays by 0.17, and ranks as in fp32."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to export. Raises `InputError` for what cannot be."""

    pooling: Pooling = "max"
    precision: Precision = "fp32"
    anserini: bool = False
    max_length: int | None = None
    scale: float = 100.0
    bound: float | None = None

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise InputError(f"There is no pooling {self.pooling!r}.", expected=f"one of {', '.join(POOLINGS)}")
        if self.precision not in BOUNDS:
            raise InputError(
                f"Nothing is exported with precision {self.precision!r}.",
                expected="fp32 or int8",
                do="For bf16 and fp16, run the checkpoint itself, with torch.",
            )
        if self.scale <= 0:
            raise InputError(f"The scale is {self.scale:g}.", expected="a number above 0")


def write_encoder(
    checkpoint: Checkpoint, directory: Path, name: str, options: ExportOptions, texts: Sequence[str]
) -> EncoderManifest:
    """Fill `directory`; return the manifest. Raises `IntegrityError` when the graph strays from torch on `texts`."""
    require_exporter()
    max_length = _max_length(checkpoint, options)
    if not texts:
        raise InputError("There is no text to compare the export with torch on.", expected="some real texts")
    splade = Splade.of(checkpoint, options.pooling)
    graph = splade_graph(splade, token_types=checkpoint.takes_token_types)
    pool_early(graph)
    if options.precision == "int8":
        quantize_graph(graph)
    save_graph(graph, directory / "model.onnx")
    if options.anserini:
        for_anserini(graph)
        save_graph(graph, directory / "model.anserini.onnx")
    (directory / "tokenizer.json").write_bytes(serialized(checkpoint.tokenizer))
    tokens = Texts.of(texts, plain_tokenizer(checkpoint.tokenizer), max_length)
    manifest = EncoderManifest(
        identity=EncoderIdentity(
            name=name,
            weights=fingerprint_of_file(directory / "model.onnx"),
            tokenizer=fingerprint_of_file(directory / "tokenizer.json"),
            vocabulary=vocabulary_fingerprint(checkpoint),
            pooling=options.pooling,
            precision=options.precision,
        ),
        source=checkpoint.name,
        max_length=max_length,
        scale=options.scale,
        opset=OPSET,
        parity=_checked(splade, directory, options, tokens),
    )
    write_manifest(directory, manifest)
    return manifest


def _max_length(checkpoint: Checkpoint, options: ExportOptions) -> int:
    longest = checkpoint.max_length
    if options.max_length is not None and not 3 <= options.max_length <= longest:
        raise InputError(f"The maximum length is {options.max_length} tokens.", expected=f"3 to {longest}, the model's")
    return options.max_length or longest


def _checked(splade: Splade, directory: Path, options: ExportOptions, tokens: Texts) -> ParityReport:
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
        np.concatenate([expected] * len(found)), np.concatenate(found), scale=options.scale, bound=bound
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
