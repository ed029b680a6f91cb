"""What no plan of a Graph can go below, for a search that leaves out what cannot fit before it prices it."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.core import operators as ops
from marram.core.graph import Graph, Node
from marram.core.target import Target
from marram.measure.prediction.prediction import known_costs
from marram.model.counts import counts
from marram.model.spec import RULES


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes and products of one inference in int8.

    ``ram_bytes``: no plan can go below. The model's inputs stand whole before the first layer and its outputs after the last;
    everything between may be made row by row. ``flash_bytes``: the weights, 8 bits each; nothing of the code.
    ``live_bytes``: the largest set of whole tensors that live together, which plans do go below, by overlapping and rolling.
    ``products``: multiply-accumulates that no kernel can leave out: those of padding, which is zero, do not count.
    """

    ram_bytes: int
    flash_bytes: int
    live_bytes: int
    products: int


def lower_bounds(graph: Graph, target: Target) -> Bounds:
    """The bounds of a Graph, integer or float.

    Raises:
        UserError: the target takes no C, or its core's costs were not learned.
    """
    known_costs(target)
    counted = counts(graph)
    integer = any(tensor.quantisation is not None for tensor in graph.tensors.values())
    item = 1 if integer else 4
    inputs, outputs = (
        sum(graph.tensors[name].size_bytes // (item if graph.tensors[name].dtype == "float32" else 1) for name in names)
        for names in (graph.inputs, graph.outputs)
    )
    weights = {
        node.inputs[position]
        for node in graph.nodes
        if (position := RULES[type(node.op)].weights) is not None and node.inputs[position] in graph.constants
    }
    return Bounds(
        ram_bytes=max(inputs, outputs),
        flash_bytes=sum(graph.tensors[name].size for name in weights),
        live_bytes=counted.peak_live_bytes // item,
        products=sum(_products(graph, node, row.macs) for node, row in zip(graph.nodes, counted.per_node, strict=True)),
    )


def _products(graph: Graph, node: Node, macs: int) -> int:
    """A node's multiply-accumulates without those of padding; none where some of them may be cropped away."""
    op = node.op
    if isinstance(op, ops.TransposeConv2D):
        return 0 if any(op.padding) else macs
    if not isinstance(op, ops.Conv2D | ops.DepthwiseConv2D):
        return macs
    x, weights, y = (graph.tensors[name] for name in (*node.inputs[:2], node.outputs[0]))
    inside = 1.0
    for axis in (0, 1):
        taps = np.arange(weights.shape[axis + 1]) * op.dilation[axis] - op.padding[2 * axis]
        places = np.arange(y.shape[axis + 1])[:, None] * op.stride[axis] + taps
        inside *= float(((places >= 0) & (places < x.shape[axis + 1])).mean())
    return round(macs * inside)
