"""Tensors inside an ONNX graph as further outputs of it, without the package onnx.

An ONNX file is a message of Protocol Buffers, of which two facts are used: a field is preceded by its number and, if it
is a string or message, by its length; and a message that occurs twice is merged, so that an output that is appended to
the file is one more output of the graph (protobuf.dev, "Encoding").
"""

from collections.abc import Iterator
from typing import NamedTuple

_GRAPH, _NODE, _OUTPUT = 7, 1, 12  # fields of ModelProto, GraphProto, GraphProto
_NODE_INPUT, _OPERATOR, _NAME = 1, 4, 1  # fields of NodeProto, NodeProto, ValueInfoProto

_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}
"""Wire type → bytes."""


class GraphNode(NamedTuple):
    """A node of a graph."""

    operator: str
    inputs: tuple[str, ...]


def nodes(model: bytes) -> list[GraphNode]:
    """Return the nodes of an ONNX model, in order. Raises `ValueError` when it is not one."""
    view = memoryview(model)
    graphs = [value for number, value in _fields(view) if number == _GRAPH]
    return [_node(value) for graph in graphs for number, value in _fields(graph) if number == _NODE]


def with_output(model: bytes, tensor: str) -> bytes:
    """Return an ONNX model with a tensor of its graph as the last output, whose type is inferred."""
    return model + _field(_GRAPH, _field(_OUTPUT, _field(_NAME, tensor.encode())))


def _node(message: memoryview) -> GraphNode:
    fields = list(_fields(message))
    inputs = tuple(bytes(value).decode() for number, value in fields if number == _NODE_INPUT)
    operator = "".join(bytes(value).decode() for number, value in fields if number == _OPERATOR)
    return GraphNode(operator, inputs)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each field that is a string or message."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _LENGTH_DELIMITED:
            length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError("a field is longer than the file")
            yield number, message[position : position + length]
            position += length
        elif wire_type == 0:
            _, position = _varint(message, position)
        elif wire_type in _FIXED:
            position += _FIXED[wire_type]
        else:
            raise ValueError(f"unknown wire type {wire_type}")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return an integer of seven bits a byte, the lowest first, and the position after it."""
    value = shift = 0
    while position < len(message):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
    raise ValueError("the file ends within a number")


def _field(number: int, content: bytes) -> bytes:
    return _bytes_of(number << 3 | _LENGTH_DELIMITED) + _bytes_of(len(content)) + content


def _bytes_of(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
