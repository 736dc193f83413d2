"""Pooling before bias and padding mask: fewer passes over [batch, sequence, vocabulary].

The maximum over tokens of h_i · E_j + b_j is the maximum of h_i · E_j, plus b_j, and padding changes no maximum when
its hidden state is that of the first token. So neither bias nor mask needs the widest tensor of the graph.
"""

from typing import TYPE_CHECKING

import numpy as np

from splade_anserini.exporting.graph_edits import GraphEdit, array_of, producer, remove_unused

if TYPE_CHECKING:
    import onnx_ir as ir


def pool_early(model: "ir.Model") -> bool:
    """Rewrite ReduceMax(Where(padding, 0, h · E + b)), in place; return whether the graph contains it.

    The first token of a text must not be padding; exported encoders pad at the end.
    """
    for reduce in [node for node in model.graph if node.op_type == "ReduceMax"]:
        where = producer(reduce.inputs[0], "Where")
        add = producer(where.inputs[2], "Add") if where is not None else None
        if where is None or add is None:
            continue
        for product, bias in [add.inputs, reversed(add.inputs)]:
            matmul = producer(product, "MatMul")
            if matmul is not None and array_of(bias) is not None:
                _rewrite(model.graph, (matmul, where, reduce), bias)
                remove_unused(model)
                return True
    return False


def _rewrite(graph: "ir.Graph", nodes: "tuple[ir.Node, ir.Node, ir.Node]", bias: "ir.Value | None") -> None:
    matmul, where, reduce = nodes
    edit = GraphEdit(graph, reduce)
    hidden, table = matmul.inputs
    zero = edit.constant("first_position", np.array([0], dtype=np.int64))
    first = edit.node("Gather", [hidden, zero], "first_hidden", axis=1)
    filled = edit.node("Where", [where.inputs[0], first, hidden], "hidden_without_padding")
    product = edit.node("MatMul", [filled, table], "products")
    maxima = edit.node("ReduceMax", [product, reduce.inputs[1]], "greatest_products", keepdims=0)
    logits = edit.node("Add", [maxima, bias], "greatest_logits")
    reduce.outputs[0].replace_all_uses_with(logits)
