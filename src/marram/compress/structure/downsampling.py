"""Downsampling: windows of the input are averaged before everything else, and every shape behind follows.

What is left over at the end, less than a window, is not looked at. Weights stay as they are, so nothing may depend on the
size: no dense layer after a flatten, no learnt positions, no split of an axis that shrinks.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import msgspec

from marram.compress.structure.blocks import blocks
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Tensor, fresh_name
from marram.core.operators import Pair
from marram.model.shapes import infer, output_shapes

_Shape = tuple[int, ...]


def downsampled(graph: Graph, factor: Pair) -> Graph:
    """The graph with an average pool of this window and stride behind its input.

    Args:
        graph: a float Graph of one input, ``(N,H,W,C)`` or ``(N,T,C)``.
        factor: (height, width) of the window; for ``(N,T,C)`` it is (1, time).

    Raises:
        UserError: another number of inputs or axes, a factor that does not fit, constants or operators that depend on the
            size, or an output that would have another shape.
    """
    (source,) = graph.input_tensors if len(graph.inputs) == 1 else (None,)
    if source is None or len(source.shape) not in {3, 4} or source.name in graph.outputs:
        raise UserError("only graphs of one input (N,H,W,C) or (N,T,C) are downsampled", where=f"graph {graph.name}")
    size = source.shape[1:3] if len(source.shape) == 4 else (1, source.shape[1])
    if min(factor) < 1 or factor[0] > size[0] or factor[1] > size[1] or factor == (1, 1):
        raise UserError(f"windows of {factor} do not fit into {size}", where=f"input {source.name}", hint="Take 1 or more.")
    pooled, door = _door(graph, source, factor)
    tensors = {name: graph.tensors[name] for name in (*graph.inputs, *graph.constants)}
    nodes = list(door)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    for node in door:
        (shapes[node.outputs[0]],) = output_shapes(node.op, [shapes[node.inputs[0]]])
    for node in graph.nodes:
        read = msgspec.structs.replace(node, inputs=tuple(pooled if name == source.name else name for name in node.inputs))
        fitted = msgspec.structs.replace(read, op=_fitted(graph, node, shapes[read.inputs[0]]))
        nodes.append(fitted)
        shapes.update(_checked(graph, node, fitted, shapes))
    made = infer(msgspec.structs.replace(graph, nodes=tuple(nodes)))
    for before, after in zip(graph.output_tensors, made.output_tensors, strict=True):
        if before.shape != after.shape:
            raise UserError(f"the output would be {after.shape}, not {before.shape}", where=f"output {before.name}")
    return made


def _door(graph: Graph, source: Tensor, factor: Pair) -> tuple[str, list[Node]]:
    """The tensor that takes the input's place, and the nodes that make it."""
    shape = source.shape
    pool = ops.AveragePool2D(kernel=factor, stride=factor)
    names = dict.fromkeys((*graph.tensors, *(node.name for node in graph.nodes)))
    steps: list[tuple[str, ops.Operator]] = [("pooled", pool)]
    if len(shape) == 3:
        steps.insert(0, ("image", ops.Reshape(shape=(shape[0], 1, *shape[1:]))))
        steps.append(("window", ops.Reshape(shape=(shape[0], shape[1] // factor[1], shape[2]))))
    nodes, current = [], source.name
    for word, op in steps:
        name = fresh_name(names, f"{source.name}_{word}")
        names[name] = None
        nodes.append(Node(name=name, op=op, inputs=(current,), outputs=(name,)))
        current = name
    return current, nodes


def _checked(graph: Graph, node: Node, fitted: Node, shapes: dict[str, _Shape]) -> dict[str, _Shape]:
    """The shapes of a node's outputs, if they follow from the input's size alone."""
    try:
        given = [shapes[name] if name else () for name in fitted.inputs]
        made = output_shapes(fitted.op, given)
    except UserError as error:
        raise _depends(node, error.what) from error
    if isinstance(node.op, ops.Add | ops.Sub | ops.Mul):
        before = [graph.tensors[name].shape for name in node.inputs]
        if [a == b for a, b in _aligned(*before)] != [a == b for a, b in _aligned(given[0], given[1])]:
            raise _depends(node, f"would add or multiply {given[0]} and {given[1]}, which were {before[0]} and {before[1]}")
    return dict(zip(fitted.outputs, made, strict=False))


def _aligned(a: _Shape, b: _Shape) -> list[Pair]:
    rank = max(len(a), len(b))
    return list(zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True))


def _depends(node: Node, what: str) -> UserError:
    return UserError(
        what, where=f"node {node.name}", hint="It depends on the size of the input, so the input cannot be downsampled."
    )


def _fitted(graph: Graph, node: Node, shape: _Shape) -> ops.Operator:
    """The operator for a first input of another shape."""
    rule, before = _RULES.get(type(node.op)), graph.tensors[node.inputs[0]].shape
    return node.op if rule is None or shape == before else rule(node, node.op, before, shape)


def _reshape(node: Node, op: ops.Reshape, before: _Shape, now: _Shape) -> ops.Reshape:
    """Axes that stay or are merged follow; of an axis that is parted nothing tells which part shrinks, unless one is 1."""
    shape = list(op.shape)
    if any(a == 1 and b != 1 for a, b in zip(before, now, strict=True)):
        raise _depends(node, f"reshapes {now}, which was {before}")
    for first, second in blocks(before, op.shape):
        if [now[axis] for axis in first] == [before[axis] for axis in first]:
            continue
        if len(second) > 1:
            raise _depends(node, f"parts an axis of {before[first[0]]} elements, which shrinks")
        shape[second[0]] = prod(now[axis] for axis in first)
    return ops.Reshape(shape=tuple(shape))


def _slice(node: Node, op: ops.Slice, before: _Shape, now: _Shape) -> ops.Slice:
    """An axis that was taken whole is taken whole."""
    ends = list(op.end)
    for axis, (size, less) in enumerate(zip(before, now, strict=True)):
        if size != less:
            if op.begin[axis] != 0 or op.end[axis] < size or op.strides[axis] != 1:
                raise _depends(node, f"takes a part of an axis of {size} elements, which shrinks")
            ends[axis] = less
    return msgspec.structs.replace(op, end=tuple(ends))


def _pool(_node: Node, op: ops.AveragePool2D | ops.MaxPool2D, before: _Shape, now: _Shape) -> ops.Operator:
    """A pool over the whole image stays one."""
    if op.kernel == before[1:3] and not any(op.padding):
        whole = (now[1], now[2])
        return msgspec.structs.replace(op, kernel=whole, stride=whole)
    return op


def _resize(node: Node, _op: ops.Resize, before: _Shape, now: _Shape) -> ops.Operator:
    raise _depends(node, f"resizes {now}, which was {before}, to a fixed size")


_RULES: dict[type, Callable[[Node, Any, _Shape, _Shape], ops.Operator]] = {
    ops.Reshape: _reshape,
    ops.Slice: _slice,
    ops.AveragePool2D: _pool,
    ops.MaxPool2D: _pool,
    ops.Resize: _resize,
}
