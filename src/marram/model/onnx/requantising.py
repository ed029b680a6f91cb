"""Quantise nodes put where they serve: before what only moves values, and gone where they change nothing."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor, consumers, fresh_name, producers, with_nodes


def hoist(graph: Graph) -> Graph:
    """The graph with each Quantise of reals that were only reshaped or transposed put before that, next to the arithmetic."""
    readers, writers = consumers(graph), producers(graph)
    tensors: dict[str, Tensor] = dict(graph.tensors)
    instead: dict[str, list[Node]] = {}
    for quantise in graph.nodes:
        if not isinstance(quantise.op, ops.Quantise) or graph.tensors[quantise.inputs[0]].dtype != "float32":
            continue
        moves = _moves_before(graph, quantise, readers, writers)
        if not moves:
            continue
        target = graph.tensors[quantise.outputs[0]]
        current = fresh_name(tensors, f"{target.name}_before")
        tensors[current] = replace(target, name=current, shape=graph.tensors[moves[0].inputs[0]].shape)
        instead[quantise.name] = []
        instead[moves[0].name] = [replace(quantise, inputs=moves[0].inputs, outputs=(current,))]
        for move in moves:
            following = target.name if move is moves[-1] else fresh_name(tensors, f"{target.name}_before")
            tensors[following] = replace(target, name=following, shape=graph.tensors[move.outputs[0]].shape)
            made = replace(move, inputs=(current,), outputs=(following,))
            instead[move.name] = [*instead.get(move.name, []), made]
            current = following
    nodes = [new for node in graph.nodes for new in instead.get(node.name, [node])]
    return with_nodes(graph, nodes, tensors=tensors)


def _moves_before(graph: Graph, quantise: Node, readers: Mapping[str, list[Node]], writers: Mapping[str, Node]) -> list[Node]:
    """The reshapes and transposes right before a Quantise that nothing else reads, first one first."""
    moves: list[Node] = []
    name = quantise.inputs[0]
    while name in writers and len(readers[name]) == 1 and name not in graph.outputs:
        move = writers[name]
        if not isinstance(move.op, ops.Reshape | ops.Transpose) or move.inputs[0] in graph.constants:
            break
        moves.append(move)
        name = move.inputs[0]
    return moves[::-1]


def drop_idle(graph: Graph) -> Graph:
    """The graph without Quantise nodes between tensors of one dtype and quantisation."""
    names: dict[str, str] = {}
    gone: set[str] = set()
    claimed = {*graph.inputs, *graph.outputs, *graph.constants}
    for node in graph.nodes:
        if not isinstance(node.op, ops.Quantise):
            continue
        source, target = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
        if (source.dtype, source.quantisation) != (target.dtype, target.quantisation):
            continue
        if target.name not in claimed:
            names[target.name] = source.name
        elif source.name not in claimed and _root(names, source.name) not in claimed:
            names[_root(names, source.name)] = target.name
        else:
            continue
        gone.add(node.name)

    def swap(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_root(names, name) for name in values)

    kept = [replace(n, inputs=swap(n.inputs), outputs=swap(n.outputs)) for n in graph.nodes if n.name not in gone]
    return with_nodes(graph, kept)


def _root(names: Mapping[str, str], name: str) -> str:
    while name in names:
        name = names[name]
    return name
