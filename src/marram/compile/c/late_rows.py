"""Rows made when they are read: a Dense of many rows that is then split into them becomes a Dense of each part.

Integers stay the same, as each row of a Dense depends on its own input row alone. An unrolled recurrent layer projects all of
its steps at once, gates times as many bytes as the state has for each step; made step by step, one step's are alive at a time.
"""

from __future__ import annotations

import msgspec

from marram.core.graph import Graph, Node, Tensor, consumers, fresh_name, with_nodes
from marram.core.operators import Dense, Reshape, Split

_FEWEST_PARTS = 3


def with_late_rows(graph: Graph) -> Graph:
    """The graph with every such Dense after its Split."""
    readers = consumers(graph)
    makers = {node.outputs[0]: node for node in graph.nodes if isinstance(node.op, Dense)}
    tensors: dict[str, Tensor] = {}
    replaced: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        dense = makers.get(node.inputs[0])
        if dense is None or not isinstance(node.op, Split) or len(node.outputs) < _FEWEST_PARTS:
            continue
        whole = graph.tensors[dense.outputs[0]]
        if readers[whole.name] != [node] or whole.name in graph.outputs or node.op.axis == len(whole.shape) - 1:
            continue
        replaced[dense.name] = ()
        replaced[node.name] = _parts(graph, dense, node, tensors)
    if not replaced:
        return graph
    nodes = [new for node in graph.nodes for new in replaced.get(node.name, (node,))]
    late = {node.name for parts in replaced.values() for node in parts}
    return with_nodes(graph, _deferred(nodes, late), tensors=tensors)


def _deferred(nodes: list[Node], late: set[str]) -> list[Node]:
    """Nodes in an order in which those in ``late``, and views, come just before what reads them."""
    waiting: dict[str, Node] = {}
    ordered: list[Node] = []

    def enter(node: Node) -> None:
        for name in node.inputs:
            if name in waiting:
                enter(waiting[name])
        for name in node.outputs:
            waiting.pop(name, None)
        ordered.append(node)

    for node in nodes:
        if node.name in late or isinstance(node.op, Reshape | Split):
            waiting |= dict.fromkeys(node.outputs, node)
        else:
            enter(node)
    while waiting:
        enter(next(iter(waiting.values())))
    return ordered


def _parts(graph: Graph, dense: Node, split: Node, tensors: dict[str, Tensor]) -> tuple[Node, ...]:
    """The Split of the input and the Dense of each part; new tensors are added to ``tensors``."""
    source = graph.tensors[dense.inputs[0]]
    names, layers = [], []
    for index, name in enumerate(split.outputs):
        made = fresh_name({**graph.tensors, **tensors}, f"{source.name}/part@{index}")
        shape = (*graph.tensors[name].shape[:-1], source.shape[-1])
        tensors[made] = msgspec.structs.replace(source, name=made, shape=shape)
        names.append(made)
        layers.append(Node(name=f"{dense.name}@{index}", op=dense.op, inputs=(made, *dense.inputs[1:]), outputs=(name,)))
    return (msgspec.structs.replace(split, inputs=(source.name,), outputs=tuple(names)), *layers)
