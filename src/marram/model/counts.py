"""Counts: what a Graph costs whatever runs it: multiply-accumulates, parameters, bytes of weights, largest live set of tensors.

MACs are those of products with weights or between activations (convolutions, dense, matmul, recurrent cells); bias, pooling and
element-wise work are not counted, as in MLPerf Tiny. Live memory is a lower bound that no plan without splitting tensors beats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import operator_name


class NodeCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node's share. ``parameters`` are elements of its constants; ``live_bytes`` all that lives while it runs."""

    name: str
    operator: str
    macs: int
    parameters: int
    output_bytes: int
    live_bytes: int


class Counts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole Graph's. A constant that several nodes share is counted once here and in each of their rows."""

    macs: int
    parameters: int
    weight_bytes: int
    peak_live_bytes: int
    per_node: tuple[NodeCounts, ...]


def counts(graph: Graph) -> Counts:
    """Count a Graph of one inference; shapes must be known.

    The largest live set is taken over the nodes in their order, inputs and outputs of the Graph included; an output of a
    reshape shares the bytes of its input.
    """
    live = _live_bytes(graph)
    rows = tuple(
        NodeCounts(
            name=node.name,
            operator=operator_name(node.op),
            macs=_macs(graph, node),
            parameters=sum(graph.tensors[name].size for name in dict.fromkeys(node.inputs) if name in graph.constants),
            output_bytes=sum(graph.tensors[name].size_bytes for name in node.outputs),
            live_bytes=live[index],
        )
        for index, node in enumerate(graph.nodes)
    )
    constants = [graph.tensors[name] for name in graph.constants]
    return Counts(
        macs=sum(row.macs for row in rows),
        parameters=sum(tensor.size for tensor in constants),
        weight_bytes=sum(tensor.size_bytes for tensor in constants),
        peak_live_bytes=max(live, default=0),
        per_node=rows,
    )


def _live_bytes(graph: Graph) -> list[int]:
    """Bytes of all activations that live while each node runs."""
    place = {name: name for name in graph.inputs}
    first = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.inputs, 0)
    for index, node in enumerate(graph.nodes):
        for name in node.outputs:
            shared = isinstance(node.op, ops.Reshape) and node.inputs[0] in place
            place[name] = place[node.inputs[0]] if shared else name
            first.setdefault(place[name], index)
            last[place[name]] = index
        for name in node.inputs:
            if name in place:
                last[place[name]] = index
    for name in graph.outputs:
        if name in place:
            last[place[name]] = len(graph.nodes) - 1
    live = [0] * len(graph.nodes)
    for name, start in first.items():
        for index in range(start, min(last[name] + 1, len(live))):
            live[index] += graph.tensors[name].size_bytes
    return live


def _macs(graph: Graph, node: Node) -> int:
    rule = _MACS.get(type(node.op))
    if rule is None:
        return 0
    inputs = [graph.tensors[name] if name else None for name in node.inputs]
    return rule(node.op, inputs, graph.tensors[node.outputs[0]])


def _each_output(_op: Any, inputs: list[Any], y: Tensor) -> int:
    """Every output is a product over one row of the weights: the axes after the first."""
    weights: Tensor = inputs[1]
    return y.size * weights.size // weights.shape[0]


def _depthwise(_op: Any, inputs: list[Any], y: Tensor) -> int:
    return y.size * int(inputs[1].shape[1] * inputs[1].shape[2])


def _transposed(_op: Any, inputs: list[Any], _y: Tensor) -> int:
    """Every input is multiplied with one column of the weights."""
    x, weights = inputs[0], inputs[1]
    return int(x.size * weights.size // weights.shape[3])


def _mat_mul(op: ops.MatMul, inputs: list[Any], y: Tensor) -> int:
    return y.size * int(inputs[0].shape[-2 if op.transpose_a else -1])


def _recurrent(_op: Any, inputs: list[Any], y: Tensor) -> int:
    n, t, _hidden = y.shape
    return n * t * int(inputs[1].size + inputs[2].size)


_MACS: dict[type, Callable[[Any, list[Any], Tensor], int]] = {
    ops.Conv2D: _each_output,
    ops.DepthwiseConv2D: _depthwise,
    ops.TransposeConv2D: _transposed,
    ops.Dense: _each_output,
    ops.MatMul: _mat_mul,
    ops.Lstm: _recurrent,
    ops.Gru: _recurrent,
}
