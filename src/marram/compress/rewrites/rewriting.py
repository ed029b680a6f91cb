"""Rewriting: what every graph rewrite shares. A rule looks at one node and gives a better graph, or None.

``run`` applies a table of rules, by operator, until none of them fires. A rule keeps the graph's function in real
arithmetic, its inputs and its outputs' names. Nothing here knows any particular rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from marram.core.errors import InternalError
from marram.core.graph import Array, Graph, Node, Tensor, consumers, fresh_name, producers, with_nodes

_MOST_REWRITES_PER_NODE = 50


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A Graph and who writes and reads each of its tensors."""

    graph: Graph
    producers: dict[str, Node]
    consumers: dict[str, list[Node]]

    def constant(self, name: str) -> Array | None:
        """The value of a constant, or None."""
        return self.graph.constants.get(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self.graph.tensors[name].shape

    def sole_reader(self, name: str) -> Node | None:
        """The one node that reads a tensor, once, when nobody else sees it."""
        readers = self.consumers[name]
        if name in self.graph.outputs or len(readers) != 1 or readers[0].inputs.count(name) != 1:
            return None
        return readers[0]

    def private_producer(self, name: str, reader: Node) -> Node | None:
        """The node that writes a tensor which only ``reader`` reads; None for inputs, constants and shared tensors."""
        producer = self.producers.get(name)
        return producer if producer is not None and self.sole_reader(name) == reader else None


Rule = Callable[[View, Node], Graph | None]
Rules = Mapping[type, tuple[Rule, ...]]


def view(graph: Graph) -> View:
    """The graph with its producers and consumers worked out."""
    return View(graph=graph, producers=producers(graph), consumers=consumers(graph))


def run(graph: Graph, rules: Rules) -> Graph:
    """Apply rules until none fires.

    Args:
        graph: any Graph.
        rules: for each operator type the rules that are tried on its nodes, in order.

    Raises:
        InternalError: the rules undo one another.
    """
    budget = _MOST_REWRITES_PER_NODE * (len(graph.nodes) + 1)
    changed = True
    while changed:
        changed, seen, index = False, view(graph), 0
        while index < len(seen.graph.nodes):
            better = _first(seen, seen.graph.nodes[index], rules)
            if better is None:
                index += 1
                continue
            changed, seen, budget = True, view(better), budget - 1
            if budget < 0:
                raise InternalError("rewrites do not come to an end", where=f"graph {graph.name}")
        graph = seen.graph
    return graph


def _first(seen: View, node: Node, rules: Rules) -> Graph | None:
    return next((better for rule in rules.get(type(node.op), ()) if (better := rule(seen, node)) is not None), None)


def substitute(
    graph: Graph,
    changes: Mapping[str, tuple[Node, ...]],
    *,
    constants: Mapping[str, Array] | None = None,
    tensors: Mapping[str, Tensor] | None = None,
) -> Graph:
    """The graph with some nodes, by name, each replaced by others in its place; new float constants get their tensors."""
    nodes = [other for node in graph.nodes for other in changes.get(node.name, (node,))]
    made = {name: Tensor(name=name, shape=tuple(value.shape)) for name, value in (constants or {}).items()}
    return with_nodes(graph, nodes, tensors={**made, **(tensors or {})}, constants=constants)


def float_constant(graph: Graph, wanted: str, value: Array) -> tuple[str, dict[str, Array]]:
    """A free name for a new constant and the constant as float32, ready for ``substitute``."""
    name = fresh_name(graph.tensors, wanted)
    return name, {name: np.ascontiguousarray(value, dtype=np.float32)}


def bypass(seen: View, node: Node, source: str) -> Graph | None:
    """The graph without a node whose only output equals ``source``; None where the names of inputs and outputs forbid it."""
    (output,) = node.outputs
    if output not in seen.graph.outputs:
        return _renamed(seen.graph, node, {output: source})
    if source in seen.graph.outputs or source not in seen.producers:
        return None
    return _renamed(seen.graph, node, {source: output})


def _renamed(graph: Graph, without: Node, names: Mapping[str, str]) -> Graph:
    nodes = [
        msgspec.structs.replace(
            node,
            inputs=tuple(names.get(name, name) for name in node.inputs),
            outputs=tuple(names.get(name, name) for name in node.outputs),
        )
        for node in graph.nodes
        if node.name != without.name
    ]
    return with_nodes(graph, nodes)
