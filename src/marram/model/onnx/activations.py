"""Activations of their own put into the operator before them, where nothing else reads that one's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.graph import Graph, Node, consumers, producers, with_nodes
from marram.core.operators import Activation

_FUSABLE = (
    ops.Conv2D,
    ops.DepthwiseConv2D,
    ops.TransposeConv2D,
    ops.Dense,
    ops.Add,
    ops.Sub,
    ops.Mul,
    ops.AveragePool2D,
    ops.MaxPool2D,
)
_CHAIN = ((ops.Add, -1.0), (ops.Mul, 1 / 3), (ops.Relu6, None), (ops.Mul, 3.0), (ops.Sub, -1.0))
"""A clip between -1 and 1 as ``elementwise.clip`` writes it, from its end."""


def fuse_activations(graph: Graph) -> Graph:
    """The graph with each Relu and Relu6 taken into the operator before it."""
    kinds: dict[type, Activation] = {ops.Relu: "relu", ops.Relu6: "relu6"}
    return _fused(graph, [(n.inputs[0], n, kinds[type(n.op)]) for n in graph.nodes if type(n.op) in kinds])


def fuse_clips(graph: Graph) -> Graph:
    """The graph with each clip between -1 and 1 taken into the operator before it."""
    writers, readers = producers(graph), consumers(graph)
    found = [(_clipped(graph, node, writers, readers), node) for node in graph.nodes if isinstance(node.op, ops.Add)]
    return _fused(graph, [(source, node, "relu_n1_to_1") for source, node in found if source is not None])


def fuse_betas(graph: Graph) -> Graph:
    """The graph with each product by a number before a softmax taken into its beta."""
    writers, readers = producers(graph), consumers(graph)
    nodes = []
    for node in graph.nodes:
        scaled = writers.get(node.inputs[0]) if isinstance(node.op, ops.Softmax) else None
        beta = _factor(graph, scaled) if scaled and readers[node.inputs[0]] == [node] else None
        if isinstance(node.op, ops.Softmax) and scaled is not None and beta is not None:
            nodes.append(replace(node, op=ops.Softmax(beta=node.op.beta * beta), inputs=(scaled.inputs[0],)))
        else:
            nodes.append(node)
    return with_nodes(graph, _needed(nodes, graph.outputs))


def _factor(graph: Graph, node: Node) -> float | None:
    """The number by which a node multiplies, if it does nothing else."""
    if not isinstance(node.op, ops.Mul) or node.op.activation != "none" or node.outputs[0] in graph.outputs:
        return None
    value = graph.constants.get(node.inputs[1])
    same = graph.tensors[node.inputs[0]].shape == graph.tensors[node.outputs[0]].shape
    return float(value.reshape(())) if value is not None and value.size == 1 and value.dtype.kind == "f" and same else None


def _fused(graph: Graph, wanted: Sequence[tuple[str, Node, Activation]]) -> Graph:
    """The graph in which the writer of each source gives what the last node gave, with the activation, where it can."""
    writers, readers = producers(graph), consumers(graph)
    changed: dict[str, Node] = {}
    gone: set[str] = set()
    for source, last, activation in wanted:
        before = writers.get(source)
        if before is None or not isinstance(before.op, _FUSABLE) or before.op.activation != "none" or before.name in changed:
            continue
        if len(readers[source]) == 1 and source not in graph.outputs and before.name not in gone:
            changed[before.name] = replace(before, op=replace(before.op, activation=activation), outputs=last.outputs)
            gone.add(last.name)
    nodes = [changed.get(node.name, node) for node in graph.nodes if node.name not in gone]
    return with_nodes(graph, _needed(nodes, graph.outputs))


def _clipped(graph: Graph, last: Node, writers: Mapping[str, Node], readers: Mapping[str, list[Node]]) -> str | None:
    """What a clip between -1 and 1 that ends in this node reads."""
    node: Node | None = last
    for kind, number in _CHAIN:
        if node is None or type(node.op) is not kind:
            return None
        if number is not None and not _is_number(graph, node.inputs[1], number):
            return None
        if node is not last and (len(readers[node.outputs[0]]) != 1 or node.outputs[0] in graph.outputs):
            return None
        source = node.inputs[0]
        node = writers.get(source)
    return source


def _is_number(graph: Graph, name: str, wanted: float) -> bool:
    value = graph.constants.get(name)
    return value is not None and value.size == 1 and abs(float(value.reshape(())) - wanted) < 1e-6


def _needed(nodes: list[Node], outputs: tuple[str, ...]) -> list[Node]:
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]
