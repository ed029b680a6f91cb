"""Windows over images of one row: all but one row of the kernel lie in the padding, so one row is left of it."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.core.graph import Array, Graph, Node, fresh_name, with_nodes
from marram.core.operators import AveragePool2D, Conv2D, DepthwiseConv2D, MaxPool2D


def with_flat_windows(graph: Graph) -> Graph:
    """The graph in which every window operator from one row to one row has a kernel of one row and pads columns only."""
    constants, tensors = dict(graph.constants), dict(graph.tensors)
    nodes = []
    for node in graph.nodes:
        shapes = [graph.tensors[name].shape for name in (node.inputs[0], node.outputs[0]) if name]
        if not all(len(shape) == 4 and shape[1] == 1 for shape in shapes):
            nodes.append(node)
        elif isinstance(node.op, AveragePool2D | MaxPool2D):
            nodes.append(_flat_pool(node, node.op))
        elif isinstance(node.op, Conv2D | DepthwiseConv2D) and tensors[node.inputs[1]].shape[1] > 1:
            wide = tensors[node.inputs[1]]
            name = fresh_name(tensors, f"{wide.name}/flat")
            values = _met_row(constants[wide.name], node.op)
            constants[name] = values
            tensors[name] = msgspec.structs.replace(wide, name=name, shape=tuple(values.shape))
            nodes.append(_flat_convolution(node, node.op, name))
        else:
            nodes.append(node)
    return with_nodes(graph, nodes, tensors=tensors, constants=constants)


def _flat_pool(node: Node, op: AveragePool2D | MaxPool2D) -> Node:
    _, _, left, right = op.padding
    flat = msgspec.structs.replace(op, kernel=(1, op.kernel[1]), stride=(1, op.stride[1]), padding=(0, 0, left, right))
    return msgspec.structs.replace(node, op=flat)


def _flat_convolution(node: Node, op: Conv2D | DepthwiseConv2D, weights: str) -> Node:
    _, _, left, right = op.padding
    flat = msgspec.structs.replace(op, stride=(1, op.stride[1]), dilation=(1, op.dilation[1]), padding=(0, 0, left, right))
    return msgspec.structs.replace(node, op=flat, inputs=(node.inputs[0], weights, *node.inputs[2:]))


def _met_row(weights: Array, op: Conv2D | DepthwiseConv2D) -> Array:
    """The row of the kernel that meets the image's row; zeros where dilation steps over it."""
    row, between = divmod(op.padding[0], op.dilation[0])
    if between or row >= weights.shape[1]:
        return np.zeros_like(weights[:, :1])
    return np.ascontiguousarray(weights[:, row : row + 1])
