"""SPLADE as an ONNX graph: token ids in, weights out, batch and sequence free."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from splade_anserini.errors import DependencyError
from splade_anserini.modeling.splade import Splade
from splade_anserini.modeling.transformers_logging import quiet

if TYPE_CHECKING:
    import onnx_ir as ir

OPSET = 18
"""Layer normalization is one node from 17 on; onnxruntime has run 18 since its version 1.14."""


def require_exporter() -> None:
    """Raise `DependencyError` unless what export needs is installed."""
    for module in ["onnx", "onnxscript"]:
        if importlib.util.find_spec(module) is None:
            raise DependencyError.missing(module, "export")


def splade_graph(splade: Splade, *, token_types: bool) -> "ir.Model":
    """Trace the model.

    Inputs `input_ids`, `attention_mask` and, with `token_types`, `token_type_ids`, all int64 [batch, sequence]; output
    `weights`, float32 [batch, vocabulary].
    """
    require_exporter()
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if token_types else [])]
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    # Sizes that are no 0 and no 1, and differ: the tracer takes such for constants or for one another.
    example = {name: torch.ones((2, 7), dtype=torch.int64) for name in names}
    with quiet(), _plain_attention(splade.model):
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
    if program is None:  # only its older exporter returns nothing
        raise AssertionError
    _forget_origin(program.model)
    return program.model


def save_graph(model: "ir.Model", path: Path) -> None:
    """Write a graph as one file."""
    import onnx_ir as ir

    ir.save(model, path)


@contextmanager
def _plain_attention(model: Any) -> Iterator[None]:
    """Write attention out in matrix products: fewer nodes than the fused kind, which guards against NaN twice."""
    before = model.config._attn_implementation  # noqa: SLF001 - transformers has no other way to ask
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _forget_origin(model: "ir.Model") -> None:
    """Drop the stack traces that the tracer leaves at every node: they name files of this machine."""
    graph = model.graph
    for thing in [model, graph, *graph, *graph.inputs, *graph.initializers.values()]:
        thing.metadata_props.clear()
        thing.doc_string = None
    for node in graph:
        for value in node.outputs:
            value.metadata_props.clear()
