"""Quantise nodes put where they serve: before what only moves values, and gone where they change nothing."""

from __future__ import annotations

from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.graph import Graph, Node, consumers, fresh_name, producers, with_nodes


def hoist(graph: Graph) -> Graph:
    """The graph with each Quantise of reals that were only reshaped or transposed put before that, next to the arithmetic."""
    while True:
        readers, writers = consumers(graph), producers(graph)
        pair = next(
            (
                (writers[node.inputs[0]], node)
                for node in graph.nodes
                if isinstance(node.op, ops.Quantise)
                and node.inputs[0] in writers
                and isinstance(writers[node.inputs[0]].op, ops.Reshape | ops.Transpose)
                and readers[node.inputs[0]] == [node]
                and node.inputs[0] not in graph.outputs
                and writers[node.inputs[0]].inputs[0] not in graph.constants
                and graph.tensors[node.inputs[0]].dtype == "float32"
            ),
            None,
        )
        if pair is None:
            return graph
        graph = _swapped(graph, *pair)


def _swapped(graph: Graph, move: Node, quantise: Node) -> Graph:
    source = move.inputs[0]
    target = graph.tensors[quantise.outputs[0]]
    inner = fresh_name(graph.tensors, f"{target.name}_before")
    first = replace(quantise, inputs=(source,), outputs=(inner,))
    second = replace(move, inputs=(inner,), outputs=quantise.outputs)
    nodes = [node for node in graph.nodes if node.name != quantise.name]
    place = next(index for index, node in enumerate(nodes) if node.name == move.name)
    nodes[place : place + 1] = [first, second]
    return with_nodes(graph, nodes, tensors={inner: replace(target, name=inner, shape=graph.tensors[source].shape)})


def drop_idle(graph: Graph) -> Graph:
    """The graph without Quantise nodes between tensors of one dtype and quantisation."""
    for name in [node.name for node in graph.nodes if isinstance(node.op, ops.Quantise)]:
        node = next(node for node in graph.nodes if node.name == name)
        source, target = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
        if (source.dtype, source.quantisation) != (target.dtype, target.quantisation):
            continue
        if target.name not in graph.outputs:
            graph = _renamed(graph, node, target.name, source.name)
        elif source.name not in {*graph.inputs, *graph.outputs, *graph.constants}:
            graph = _renamed(graph, node, source.name, target.name)
    return graph


def _renamed(graph: Graph, gone: Node, old: str, new: str) -> Graph:
    def swap(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    nodes = [replace(n, inputs=swap(n.inputs), outputs=swap(n.outputs)) for n in graph.nodes if n.name != gone.name]
    return with_nodes(graph, nodes)
