"""Joining: a Dense without bias and the Add of a vector behind it become one Dense."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor, consumers, fresh_name, producers, with_nodes


def join(graph: Graph) -> Graph:
    """The graph with every such Add taken in; one whose Dense is read elsewhere too stays."""
    readers, writers = consumers(graph), producers(graph)
    taken: dict[str, Node] = {}
    gone: set[str] = set()
    tensors, constants = dict(graph.tensors), dict(graph.constants)
    for node in graph.nodes:
        found = _dense_and_vector(graph, node, writers) if isinstance(node.op, ops.Add) else None
        if found is None or len(readers[found[0].outputs[0]]) != 1 or found[0].outputs[0] in graph.outputs:
            continue
        dense, vector = found
        if vector in graph.constants and graph.tensors[vector].shape != (graph.tensors[node.outputs[0]].shape[-1],):
            flat = fresh_name(tensors, f"{vector}_flat")
            width = graph.tensors[node.outputs[0]].shape[-1]
            constants[flat] = np.ascontiguousarray(np.broadcast_to(graph.constants[vector].reshape(-1), (width,)))
            tensors[flat] = Tensor(name=flat, shape=(width,))
            vector = flat
        joined = replace(dense, inputs=(*dense.inputs[:2], vector), outputs=node.outputs)
        taken[node.name] = joined
        gone.add(dense.name)
    nodes = [taken.get(node.name, node) for node in graph.nodes if node.name not in gone]
    return with_nodes(graph, nodes, tensors=tensors, constants=constants)


def _dense_and_vector(graph: Graph, add: Node, writers: dict[str, Node]) -> tuple[Node, str] | None:
    """The Dense without bias and the constant vector that an Add adds up."""
    for product, vector in (add.inputs, add.inputs[::-1]):
        dense = writers.get(product)
        if dense is None or not isinstance(dense.op, ops.Dense) or (len(dense.inputs) > 2 and dense.inputs[2]):
            continue
        shape, width = graph.tensors[vector].shape, graph.tensors[dense.outputs[0]].shape[-1]
        if vector in graph.constants and graph.tensors[add.outputs[0]].shape == graph.tensors[product].shape:
            if graph.tensors[vector].size == (shape[-1] if shape else 1) and graph.tensors[vector].size in {1, width}:
                return dense, vector
        elif shape == (width,) and _reads_constant(graph, writers.get(vector)):
            return dense, vector
    return None


def _reads_constant(graph: Graph, node: Node | None) -> bool:
    return node is not None and isinstance(node.op, ops.Dequantise) and node.inputs[0] in graph.constants
