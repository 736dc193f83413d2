"""Inserting nodes and constants into ONNX graphs, and reading them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir


class GraphEdit:
    """Inserts nodes into a graph: before one of its nodes, or at its end."""

    def __init__(self, graph: "ir.Graph", before: "ir.Node | None" = None) -> None:
        self._graph = graph
        self._before = before

    def node(self, operator: str, inputs: "Sequence[ir.Value | None]", name: str, **attributes: Any) -> "ir.Value":
        """Insert a node with one output of this name; return the output."""
        return self.nodes(operator, inputs, [name], **attributes)[0]

    def nodes(
        self, operator: str, inputs: "Sequence[ir.Value | None]", names: Sequence[str], **attributes: Any
    ) -> "list[ir.Value]":
        """Insert a node whose outputs have these names; return the outputs."""
        import onnx_ir as ir

        outputs = [ir.Value(name=name) for name in names]
        node = ir.node(operator, inputs, attributes, outputs=outputs)
        if self._before is None:
            self._graph.append(node)
        else:
            self._graph.insert_before(self._before, node)
        return outputs

    def constant(self, name: str, array: npt.NDArray[Any]) -> "ir.Value":
        """Return the constant of this name, created from `array` by the first call."""
        import onnx_ir as ir

        if name not in self._graph.initializers:
            tensor = ir.tensor(np.ascontiguousarray(array), name=name)
            value = ir.Value(
                name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
            )
            self._graph.register_initializer(value)
        return self._graph.initializers[name]


def producer(value: "ir.Value | None", operator: str) -> "ir.Node | None":
    """Return the node that computes `value` if it is an `operator`, else None."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == operator else None


def array_of(value: "ir.Value | None") -> npt.NDArray[Any] | None:
    """Return the array of a constant, or None for any other value."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def remove_unused(model: "ir.Model") -> None:
    """Remove the nodes and constants that no other node reads."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    RemoveUnusedNodesPass()(model)
