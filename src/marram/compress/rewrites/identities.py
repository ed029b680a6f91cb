"""Identities: nodes that change nothing, constants that can be computed now, and nodes that nobody reads."""

from __future__ import annotations

import numpy as np

from marram.compress.rewrites.rewriting import View, bypass, substitute
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, with_nodes
from marram.model.reference import interpret


def remove_dead(seen: View, node: Node) -> Graph | None:
    """A node that nobody reads -> nothing."""
    if any(name in seen.graph.outputs or seen.consumers[name] for name in node.outputs):
        return None
    return substitute(seen.graph, {node.name: ()})


def compute_constant(seen: View, node: Node) -> Graph | None:
    """A node whose inputs are all constants -> the constants that it computes, unless the graph must output them."""
    names = [name for name in node.inputs if name]
    if not names or any(name not in seen.graph.constants for name in names) or set(node.outputs) & set(seen.graph.outputs):
        return None
    alone = with_nodes(seen.graph, (node,), inputs=(), outputs=node.outputs)
    values: dict[str, Array] = dict(zip(node.outputs, interpret(alone, ()), strict=True))
    return substitute(seen.graph, {node.name: ()}, constants=values)


def _keeps_everything(seen: View, node: Node) -> bool:  # a table of operators
    op, shape = node.op, seen.shape(node.inputs[0])
    match op:
        case ops.Reshape():
            return op.shape == shape
        case ops.Transpose():
            return op.permutation == tuple(range(len(op.permutation)))
        case ops.Pad():
            return all(pair == (0, 0) for pair in op.paddings)
        case ops.Slice():
            return shape == seen.shape(node.outputs[0])
        case ops.Split():
            return len(op.sizes) == 1
        case ops.Concat():
            return len(node.inputs) == 1
        case ops.Resize():
            return op.size == shape[1:3]
        case ops.AveragePool2D() | ops.MaxPool2D():
            return op.kernel == op.stride == (1, 1) and not any(op.padding) and op.activation == "none"
        case ops.Mean() | ops.Sum():
            return shape == seen.shape(node.outputs[0]) and all(shape[axis] == 1 for axis in op.axes)
        case _:
            return False


def remove_identity(seen: View, node: Node) -> Graph | None:
    """A reshape, transpose, pad, slice, split, concat, resize or pool that changes nothing -> nothing."""
    return bypass(seen, node, node.inputs[0]) if _keeps_everything(seen, node) else None


def remove_neutral_constant(seen: View, node: Node) -> Graph | None:
    """X + 0 and x * 1 -> x."""
    if not isinstance(node.op, ops.Add | ops.Mul) or node.op.activation != "none":
        return None
    neutral = 0.0 if isinstance(node.op, ops.Add) else 1.0
    for x, c in (node.inputs, node.inputs[::-1]):
        value = seen.constant(c)
        if value is not None and np.all(value == neutral) and seen.shape(x) == seen.shape(node.outputs[0]):
            return bypass(seen, node, x)
    return None
