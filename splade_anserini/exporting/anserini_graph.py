"""The inputs and outputs that Anserini's Java encoder needs."""

from typing import TYPE_CHECKING

import numpy as np

from splade_anserini.exporting.graph_edits import GraphEdit

if TYPE_CHECKING:
    import onnx_ir as ir


IR_VERSION = 9
"""The newest that onnxruntime 1.17 reads, which Anserini contains."""


def for_anserini(model: "ir.Model") -> None:
    """Change a graph of `splade_graph`, in place, to the inputs and outputs of Anserini's SPLADE encoders.

    Inputs: `input_ids`, `token_type_ids`, `attention_mask`, int64 [1, sequence]; all three, even where one is unused.
    Outputs: `output_idx`, int64 [active], and `output_weights`, float32 [active]: the entries whose weight is not 0.
    """
    import onnx_ir as ir

    graph = model.graph
    model.ir_version = IR_VERSION
    _fix_inputs(graph)
    _center_layer_norms(graph)
    weights = graph.outputs[0]
    edit = GraphEdit(graph)
    row = edit.node("Squeeze", [weights, edit.constant("batch_axis", np.array([0], dtype=np.int64))], "weights_row")
    active = edit.node("NonZero", [row], "active_entries")
    index = edit.node("Squeeze", [active, edit.constant("batch_axis", np.array([0], dtype=np.int64))], "output_idx")
    values = edit.node("Gather", [row, index], "output_weights", axis=0)
    graph.outputs.clear()
    for value, data_type in [(index, ir.DataType.INT64), (values, ir.DataType.FLOAT)]:
        value.type, value.shape = ir.TensorType(data_type), ir.Shape(["active"])
        graph.outputs.append(value)


def _center_layer_norms(graph: "ir.Graph") -> None:
    """Subtract the mean from the input of every layer normalization, which changes its output only by rounding.

    onnxruntime 1.17 computes the variance as E[x²] − E[x]². That cancels where the mean is far from 0, as in the heads
    of `warm-start`: weights then differ by up to 0.01.
    """
    for node in [node for node in graph if node.op_type == "LayerNormalization"]:
        edit = GraphEdit(graph, node)
        source = node.inputs[0]
        name = node.outputs[0].name
        axes = edit.constant("last_axis", np.array([-1], dtype=np.int64))
        mean = edit.node("ReduceMean", [source, axes], f"{name}_mean", keepdims=1)
        node.replace_input_with(0, edit.node("Sub", [source, mean], f"{name}_centered"))


def _fix_inputs(graph: "ir.Graph") -> None:
    import onnx_ir as ir

    inputs = {value.name: value for value in graph.inputs}
    graph.inputs.clear()
    for name in ["input_ids", "token_type_ids", "attention_mask"]:
        value = inputs.get(name) or ir.Value(name=name, type=ir.TensorType(ir.DataType.INT64))
        value.shape = ir.Shape([1, "sequence"])
        graph.inputs.append(value)
