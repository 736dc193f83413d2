"""SPLADE as an ONNX graph: token ids in, weights out, for any batch size and sequence length."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from splade_anserini.errors import DependencyError
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.transformers_logging import quiet_transformers

if TYPE_CHECKING:
    import onnx_ir as ir

OPSET = 18
"""From 17 on layer normalization is one node; onnxruntime supports 18 since version 1.14."""


def require_exporter() -> None:
    """Raise `DependencyError` unless the packages that export needs are installed."""
    for module in ["onnx", "onnxscript"]:
        if importlib.util.find_spec(module) is None:
            raise DependencyError.missing(module, "export")


def splade_graph(splade: Splade, *, token_types: bool) -> "ir.Model":
    """Export a model to ONNX.

    Inputs: `input_ids`, `attention_mask` and, with `token_types`, `token_type_ids`, all int64 [batch, sequence].
    Output: `weights`, float32 [batch, vocabulary]. Raises `DependencyError` when the exporter is not installed.
    """
    require_exporter()
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if token_types else [])]
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    # The tracer takes sizes of 0 or 1 for constants, and equal sizes for one dimension.
    example = {name: torch.ones((2, 7), dtype=torch.int64) for name in names}
    with quiet_transformers(), _plain_attention(splade.model):
        program = torch.onnx.export(
            splade.eval(),
            (),
            kwargs=example,
            input_names=names,
            output_names=["weights"],
            dynamic_shapes=dict.fromkeys(names, axes),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:  # only the older exporter of torch returns None
        raise AssertionError
    _remove_traces(program.model)
    return program.model


def save_graph(model: "ir.Model", path: Path) -> None:
    """Write a graph as one file."""
    import onnx_ir as ir

    ir.save(model, path)


@contextmanager
def _plain_attention(model: Any) -> Iterator[None]:
    """Export attention as plain matrix products; the fused form gives more nodes, since it checks for NaN twice."""
    before = model.config._attn_implementation  # noqa: SLF001  # transformers has no public getter
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _remove_traces(model: "ir.Model") -> None:
    """Remove the stack traces that the tracer attaches to every node: they contain paths of this machine."""
    graph = model.graph
    for element in [model, graph, *graph, *graph.inputs, *graph.initializers.values()]:
        element.metadata_props.clear()
        element.doc_string = None
    for node in graph:
        for value in node.outputs:
            value.metadata_props.clear()
