"""Dynamic int8 quantization: weights per channel, activations per token and at run time.

Where the table of token embeddings is also the decoder, the graph contains it once: its rows, each with its own scale,
are looked up by token ids and, transposed, are the columns of the decoder. The dense layer of the head stays in
float32, see `warm_start`.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from splade_anserini.errors import InputError
from splade_anserini.exporting.graph_edits import GraphEdit, array_of, producer, remove_unused

if TYPE_CHECKING:
    import onnx_ir as ir

MAX_INTEGER = 127
"""The greatest integer of a weight: 8 bits with the sign."""
MAX_STEP = 127
"""The greatest integer of an activation: 7 bits. Processors without VNNI add two products in 16 bits, which would
saturate with 8 bits of both, so that impacts would differ between machines."""
type _Inputs = "dict[str, tuple[ir.Value, ir.Value, ir.Value]]"
"""Activation → its integers, their step and its least value, which the layers that read it share."""
_SMALLEST = np.finfo(np.float32).tiny * 1000
"""The smallest range of an activation: one whose values are equal is divided by it, not by zero."""


def quantize_graph(model: "ir.Model") -> None:
    """Quantize a graph of `splade_graph` to int8, in place. Raises `InputError` when it has no layers to quantize."""
    products = [node for node in model.graph if node.op_type == "MatMul" and _table(node.inputs[1]) is not None]
    if len(products) < 2:
        raise InputError("The model has no layers to quantize.", do="Export it with --precision fp32.")
    *body, _head, decoder = products
    inputs: _Inputs = {}
    for node in body:
        _quantize_product(GraphEdit(model.graph, node), node, inputs, per_token=True)
    # The greatest product of all tokens is found among integers, which must have one scale.
    _quantize_product(GraphEdit(model.graph, decoder), decoder, inputs, per_token=False)
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


def _columns(edit: GraphEdit, value: "ir.Value | None") -> "tuple[ir.Value, ir.Value, ir.Value]":
    """Return the integers [in, out] of a layer's weights, their scales [out], and the sums of its columns [out]."""
    table = _table(value)
    if table is None or table.name is None:
        raise AssertionError
    if table is value:
        rows, scales = quantize_rows(np.asarray(array_of(table)).T)
        columns, factors = edit.constant(f"{table.name}.int8", rows.T), edit.constant(f"{table.name}.scales", scales)
    else:
        integers, factors = _rows(edit, table)
        columns = edit.node("Transpose", [integers], f"{table.name}.columns", perm=[1, 0])
        rows, scales = np.asarray(array_of(integers)), np.asarray(array_of(factors))
    sums = rows.sum(axis=1, dtype=np.int64) * scales
    return columns, factors, edit.constant(f"{table.name}.sums", sums.astype(np.float32))


def _rows(edit: GraphEdit, table: "ir.Value") -> "tuple[ir.Value, ir.Value]":
    integers, scales = quantize_rows(np.asarray(array_of(table)))
    return edit.constant(f"{table.name}.int8", integers), edit.constant(f"{table.name}.scales", scales)


def _quantize_product(edit: GraphEdit, node: "ir.Node", inputs: _Inputs, *, per_token: bool) -> None:
    """Replace x · W, where x is `least` + `step` × integers, by its two parts."""
    name = node.outputs[0].name
    integers, scales, sums = _columns(edit, node.inputs[1])
    source = node.inputs[0]
    if source is None or source.name is None:
        raise AssertionError
    if source.name not in inputs:
        inputs[source.name] = _quantized_input(edit, source, per_token=per_token)
    quantized, step, least = inputs[source.name]
    product = edit.node("MatMulInteger", [quantized, integers], f"{name}.integers")
    result = node.outputs[0]
    readers = [reader for reader, _ in result.uses()]
    if not per_token and len(readers) == 1 and readers[0].op_type == "ReduceMax":
        # All scales are positive, so the greatest integer gives the greatest product.
        product = edit.node("ReduceMax", [product, readers[0].inputs[1]], f"{name}.greatest", keepdims=0)
        result = readers[0].outputs[0]
    floats = edit.node("Cast", [product], f"{name}.floats", to=1)
    above = edit.node("Mul", [floats, edit.node("Mul", [step, scales], f"{name}.factors")], f"{name}.above")
    offsets = edit.node("Mul", [least, sums], f"{name}.offsets")
    result.replace_all_uses_with(edit.node("Add", [above, offsets], f"{name}.products"))


def _quantized_input(edit: GraphEdit, value: "ir.Value", *, per_token: bool) -> "tuple[ir.Value, ir.Value, ir.Value]":
    """Return an activation as integers, their step and the least value, of each token or of the text."""
    name = value.name
    axes: list[ir.Value | None] = [edit.constant("last_axis", np.array([-1], dtype=np.int64))] if per_token else []
    least = edit.node("ReduceMin", [value, *axes], f"{name}.least", keepdims=int(per_token))
    greatest = edit.node("ReduceMax", [value, *axes], f"{name}.most", keepdims=int(per_token))
    smallest = edit.constant("smallest_range", np.array(_SMALLEST, dtype=np.float32))
    width = edit.node("Max", [edit.node("Sub", [greatest, least], f"{name}.range"), smallest], f"{name}.width")
    step = edit.node("Div", [width, edit.constant("steps", np.array(MAX_STEP, dtype=np.float32))], f"{name}.step")
    steps = edit.node("Div", [edit.node("Sub", [value, least], f"{name}.distance"), step], f"{name}.steps")
    return edit.node("Cast", [edit.node("Round", [steps], f"{name}.rounded")], f"{name}.uint8", to=2), step, least


def _quantize_lookup(edit: GraphEdit, node: "ir.Node") -> None:
    table, tokens = node.inputs
    if table is None:
        raise AssertionError
    rows, scales = _rows(edit, table)
    column = edit.constant(f"{table.name}.one_column", np.array([-1, 1], dtype=np.int64))
    integers = edit.node("Cast", [edit.node("Gather", [rows, tokens], "token_rows")], "token_floats", to=1)
    factors = edit.node("Gather", [edit.node("Reshape", [scales, column], "row_scales"), tokens], "token_scales")
    node.outputs[0].replace_all_uses_with(edit.node("Mul", [integers, factors], "token_embeddings"))
