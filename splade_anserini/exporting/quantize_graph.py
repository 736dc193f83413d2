"""Dynamic int8 quantization: weights per channel, activations per tensor and at run time.

Where the table of token embeddings is also the decoder, the graph contains it once: its rows, each with its own scale,
are looked up by token ids and, transposed, are the columns of the decoder. The dense layer of the head stays in
float32, see `warm_start`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from splade_anserini.errors import InputError
from splade_anserini.exporting.graph_edits import GraphEdit, array_of, producer, remove_unused

if TYPE_CHECKING:
    import onnx_ir as ir

MAX_INTEGER = 63
"""The greatest integer of a weight: 7 bits. With 8 bits, processors without VNNI saturate when they add two products,
so that impacts would differ between machines."""


def quantize_graph(model: "ir.Model") -> None:
    """Quantize a graph of `splade_graph` to int8, in place. Raises `InputError` when it has no layers to quantize."""
    products = [node for node in model.graph if node.op_type == "MatMul" and _table(node.inputs[1]) is not None]
    if len(products) < 2:
        raise InputError("The model has no layers to quantize.", do="Export it with --precision fp32.")
    *body, _head, decoder = products
    for node in [*body, decoder]:
        _quantize_product(GraphEdit(model.graph, node), node)
    for node in [node for node in model.graph if node.op_type == "Gather" and _reads_tokens(node)]:
        _quantize_lookup(GraphEdit(model.graph, node), node)
    remove_unused(model)


def quantize_rows(table: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return integers [rows, columns] and scales [rows]; their product is within half a scale of the table."""
    greatest = np.abs(table).max(axis=1)
    scales = np.where(greatest > 0, greatest / MAX_INTEGER, 1).astype(np.float32)
    return np.rint(table / scales[:, None]).astype(np.int8), scales


def _table(value: "ir.Value | None") -> "ir.Value | None":
    """Return the constant matrix behind the right side of a product, transposed or not."""
    transpose = producer(value, "Transpose")
    constant = transpose.inputs[0] if transpose is not None else value
    array = array_of(constant)
    return constant if array is not None and array.ndim == 2 else None


def _reads_tokens(node: "ir.Node") -> bool:
    return node.inputs[1] is not None and node.inputs[1].name == "input_ids" and array_of(node.inputs[0]) is not None


def _columns(edit: GraphEdit, value: "ir.Value | None") -> "tuple[ir.Value, ir.Value]":
    """Return the integers [in, out] and the scales [out] of a layer's weights."""
    table = _table(value)
    if table is None or table.name is None:
        raise AssertionError
    array: Any = array_of(table)
    if table is value:
        integers, scales = quantize_rows(array.T)
        return edit.constant(f"{table.name}.int8", integers.T), edit.constant(f"{table.name}.scales", scales)
    rows, row_scales = _rows(edit, table)
    return edit.node("Transpose", [rows], f"{table.name}.columns", perm=[1, 0]), row_scales


def _rows(edit: GraphEdit, table: "ir.Value") -> "tuple[ir.Value, ir.Value]":
    integers, scales = quantize_rows(np.asarray(array_of(table)))
    return edit.constant(f"{table.name}.int8", integers), edit.constant(f"{table.name}.scales", scales)


def _quantize_product(edit: GraphEdit, node: "ir.Node") -> None:
    name = node.outputs[0].name
    integers, scales = _columns(edit, node.inputs[1])
    quantized, scale, zero = _quantized_input(edit, node.inputs[0])
    product = edit.node("MatMulInteger", [quantized, integers, zero], f"{name}.integers")
    result = node.outputs[0]
    readers = [reader for reader, _ in result.uses()]
    if len(readers) == 1 and readers[0].op_type == "ReduceMax":
        # All scales are positive, so the greatest integer gives the greatest product.
        product = edit.node("ReduceMax", [product, readers[0].inputs[1]], f"{name}.greatest", keepdims=0)
        result = readers[0].outputs[0]
    floats = edit.node("Cast", [product], f"{name}.floats", to=1)
    factors = edit.node("Mul", [scale, scales], f"{name}.factors")
    result.replace_all_uses_with(edit.node("Mul", [floats, factors], f"{name}.products"))


def _quantized_input(edit: GraphEdit, value: "ir.Value | None") -> "tuple[ir.Value, ...]":
    """Return integers, scale and zero point of an activation; the layers that read it share them."""
    if value is None:
        raise AssertionError
    for reader, _ in value.uses():
        if reader.op_type == "DynamicQuantizeLinear":
            return tuple(reader.outputs)
    names = [f"{value.name}.{part}" for part in ("uint8", "scale", "zero")]
    return tuple(edit.nodes("DynamicQuantizeLinear", [value], names))


def _quantize_lookup(edit: GraphEdit, node: "ir.Node") -> None:
    table, tokens = node.inputs
    if table is None:
        raise AssertionError
    rows, scales = _rows(edit, table)
    column = edit.constant(f"{table.name}.one_column", np.array([-1, 1], dtype=np.int64))
    integers = edit.node("Cast", [edit.node("Gather", [rows, tokens], "token_rows")], "token_floats", to=1)
    factors = edit.node("Gather", [edit.node("Reshape", [scales, column], "row_scales"), tokens], "token_scales")
    node.outputs[0].replace_all_uses_with(edit.node("Mul", [integers, factors], "token_embeddings"))
