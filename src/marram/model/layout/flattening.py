"""A flatten before a Dense, or an unflatten after one, takes elements in any order: the weights are permuted instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.graph import Graph, Node, consumers, fresh_name, producers, with_nodes
from marram.model.layout.rules import POINTWISE


def reshapes_before_dense(graph: Graph) -> frozenset[int]:
    """Indices of the reshapes to (N, K) that only Dense nodes read, pointwise operators between them allowed."""
    readers = consumers(graph)
    return frozenset(
        index
        for index, node in enumerate(graph.nodes)
        if _flattens(graph, node) and _dense_readers(graph, node.outputs[0], readers) is not None
    )


def reshapes_after_dense(graph: Graph) -> frozenset[int]:
    """Indices of the reshapes from (N, K) that read a Dense alone, pointwise operators between them allowed."""
    readers, writers = consumers(graph), producers(graph)
    return frozenset(
        index
        for index, node in enumerate(graph.nodes)
        if _unflattens(graph, node) and _dense_writer(graph, node.inputs[0], writers, readers) is not None
    )


def fold_flattening(graph: Graph) -> Graph:
    """The graph with transposes before such flattens, and after such unflattens, folded into the weights."""
    for fold in (_fold_before, _fold_after):
        readers, writers = consumers(graph), producers(graph)
        for turn in [node for node in graph.nodes if isinstance(node.op, ops.Transpose)]:
            current = writers[turn.outputs[0]]  # the nodes around it may have changed since
            folded = fold(graph, current, readers, writers)
            if folded is not None:
                graph = folded
                readers, writers = consumers(graph), producers(graph)
    return graph


def _flattens(graph: Graph, node: Node) -> bool:
    if not isinstance(node.op, ops.Reshape) or node.inputs[0] in graph.constants:
        return False
    source, target = graph.tensors[node.inputs[0]].shape, graph.tensors[node.outputs[0]].shape
    return len(target) == 2 and len(source) > 2 and source[0] == target[0]


def _unflattens(graph: Graph, node: Node) -> bool:
    if not isinstance(node.op, ops.Reshape):
        return False
    source, target = graph.tensors[node.inputs[0]].shape, graph.tensors[node.outputs[0]].shape
    return len(source) == 2 and len(target) > 2 and source[0] == target[0]


def _dense_readers(graph: Graph, name: str, readers: dict[str, list[Node]]) -> list[Node] | None:
    """All the Dense nodes that read a tensor, None if anything else does."""
    found: list[Node] = []
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in graph.outputs or not readers[current]:
            return None
        for node in readers[current]:
            if isinstance(node.op, ops.Dense) and node.inputs[1] in graph.constants:
                found.append(node)
            elif isinstance(node.op, POINTWISE):
                waiting.append(node.outputs[0])
            else:
                return None
    return found


def _dense_writer(graph: Graph, name: str, writers: dict[str, Node], readers: dict[str, list[Node]]) -> Node | None:
    """The Dense that a tensor comes from, if nothing else reads it on the way."""
    while name in writers and len(readers[name]) == 1 and name not in graph.outputs:
        node = writers[name]
        if isinstance(node.op, ops.Dense) and {*node.inputs[1:]} - {""} <= set(graph.constants):
            return node
        if not isinstance(node.op, POINTWISE):
            return None
        name = node.inputs[0]
    return None


def _fold_before(graph: Graph, turn: Node, readers: dict[str, list[Node]], _writers: dict[str, Node]) -> Graph | None:
    """Transpose, flatten, Dense -> flatten, Dense of other columns."""
    assert isinstance(turn.op, ops.Transpose)
    following = readers[turn.outputs[0]]
    if len(following) != 1 or turn.outputs[0] in graph.outputs or turn.op.permutation[0] != 0:
        return None
    (flatten,) = following
    dense = _dense_readers(graph, flatten.outputs[0], readers) if _flattens(graph, flatten) else None
    if dense is None:
        return None
    places = _places(graph.tensors[turn.inputs[0]].shape, turn.op.permutation)
    order = np.argsort(places)
    nodes = [replace(n, inputs=turn.inputs) if n is flatten else n for n in graph.nodes if n is not turn]
    return _with_weights(graph, nodes, dense, lambda position, value: value[:, order] if position == 1 else value)


def _fold_after(graph: Graph, turn: Node, readers: dict[str, list[Node]], writers: dict[str, Node]) -> Graph | None:
    """Dense, unflatten, Transpose -> Dense of other rows, unflatten."""
    assert isinstance(turn.op, ops.Transpose)
    unflatten = writers.get(turn.inputs[0])
    if unflatten is None or not _unflattens(graph, unflatten) or turn.op.permutation[0] != 0:
        return None
    if readers[turn.inputs[0]] != [turn] or turn.inputs[0] in graph.outputs:
        return None
    dense = _dense_writer(graph, unflatten.inputs[0], writers, readers)
    if dense is None:
        return None
    places = _places(graph.tensors[turn.inputs[0]].shape, turn.op.permutation)
    shape = graph.tensors[turn.outputs[0]].shape
    straight = replace(unflatten, op=ops.Reshape(shape=shape), outputs=turn.outputs)
    nodes = [straight if n is unflatten else n for n in graph.nodes if n is not turn]
    return _with_weights(graph, nodes, [dense], lambda _position, value: value[places])


def _places(shape: tuple[int, ...], permutation: tuple[int, ...]) -> np.ndarray:
    """Where each element of the flat transposed tensor stood in the flat tensor, for one sample."""
    one = np.arange(int(np.prod(shape[1:]))).reshape(shape[1:])
    return one.transpose([axis - 1 for axis in permutation[1:]]).ravel()


def _with_weights(graph: Graph, nodes: list[Node], dense: list[Node], change: Callable[[int, np.ndarray], np.ndarray]) -> Graph:
    """The graph with these nodes, the constants of the Dense nodes replaced by changed copies."""
    tensors, constants = dict(graph.tensors), dict(graph.constants)
    copies: dict[tuple[str, int], str] = {}
    for position, name in _constants_of(dense):
        if (name, position) in copies:
            continue
        copy = copies[name, position] = fresh_name(tensors, f"{name}_permuted")
        value, quantised = constants[name], tensors[name].quantisation
        constants[copy] = np.ascontiguousarray(change(position, value))
        if quantised is not None and len(quantised.scales) > 1:
            order = change(0, np.arange(len(quantised.scales)))
            quantised = replace(
                quantised,
                scales=tuple(quantised.scales[i] for i in order),
                zero_points=tuple(quantised.zero_points[i] for i in order),
            )
        tensors[copy] = replace(tensors[name], name=copy, quantisation=quantised)
    chosen = {node.name for node in dense}
    renamed = [
        replace(node, inputs=tuple(copies.get((name, i), name) for i, name in enumerate(node.inputs)))
        if node.name in chosen
        else node
        for node in nodes
    ]
    return with_nodes(graph, renamed, tensors=tensors, constants=constants)


def _constants_of(dense: list[Node]) -> Iterator[tuple[int, str]]:
    return ((i, name) for node in dense for i, name in enumerate(node.inputs) if i > 0 and name)
