"""Activations: fused into the node before them, or recognised from their parts."""

from __future__ import annotations

import math

import msgspec

from marram.compress.rewrites.rewriting import View, bypass, substitute
from marram.core import operators as ops
from marram.core.graph import Graph, Node
from marram.core.operators import Activation

# TransposeConv2D is left out: TFLite Micro's kernel does not apply its fused activation.
FUSABLE = (
    ops.Conv2D,
    ops.DepthwiseConv2D,
    ops.Dense,
    ops.Add,
    ops.Sub,
    ops.Mul,
    ops.AveragePool2D,
    ops.MaxPool2D,
)
_AFTER: dict[tuple[str, type], Activation] = {
    ("none", ops.Relu): "relu",
    ("none", ops.Relu6): "relu6",
    ("relu", ops.Relu): "relu",
    ("relu", ops.Relu6): "relu6",
    ("relu6", ops.Relu): "relu6",
    ("relu6", ops.Relu6): "relu6",
}


def fuse_activation(seen: View, node: Node) -> Graph | None:
    """f(x) then Relu or Relu6 -> f with that activation, when nobody else reads f's output."""
    producer = seen.private_producer(node.inputs[0], node)
    if producer is None or not isinstance(producer.op, FUSABLE):
        return None
    activation = _AFTER.get((producer.op.activation, type(node.op)))
    if activation is None:
        return None
    op = msgspec.structs.replace(producer.op, activation=activation)
    fused = msgspec.structs.replace(producer, op=op, outputs=node.outputs)
    return substitute(seen.graph, {producer.name: (fused,), node.name: ()})


def repeated_relu(seen: View, node: Node) -> Graph | None:
    """Relu of what is never negative -> nothing."""
    if not isinstance(node.op, ops.Relu) or not never_negative(seen, node.inputs[0]):
        return None
    return bypass(seen, node, node.inputs[0])


def degenerate_leaky_relu(seen: View, node: Node) -> Graph | None:
    """LeakyRelu with alpha 0 -> Relu; with alpha 1 -> nothing."""
    if not isinstance(node.op, ops.LeakyRelu) or node.op.alpha not in {0.0, 1.0}:
        return None
    if node.op.alpha == 1.0:
        return bypass(seen, node, node.inputs[0])
    return substitute(seen.graph, {node.name: (msgspec.structs.replace(node, op=ops.Relu()),)})


_KEEPS_SIGN = (
    ops.MaxPool2D,
    ops.AveragePool2D,
    ops.Reshape,
    ops.Transpose,
    ops.Slice,
    ops.Split,
    ops.Mean,
    ops.Sum,
    ops.Resize,
)


def never_negative(seen: View, name: str) -> bool:
    """Whether a tensor is known to have no negative element."""
    node = seen.producers.get(name)
    while node is not None and isinstance(node.op, _KEEPS_SIGN):
        if getattr(node.op, "activation", "none") in {"relu", "relu6"}:
            return True
        node = seen.producers.get(node.inputs[0])
    if node is None:
        return False
    return isinstance(node.op, ops.Relu | ops.Relu6 | ops.Sigmoid | ops.Softmax) or getattr(node.op, "activation", "none") in {
        "relu",
        "relu6",
    }


def recognise_hard_swish(seen: View, node: Node) -> Graph | None:
    """X * relu6(x + 3) / 6, the sixth wherever it stands, -> HardSwish. Source: Howard et al., MobileNetV3, 2019."""
    if not isinstance(node.op, ops.Mul) or node.op.activation != "none":
        return None
    for product, sixth in (node.inputs, node.inputs[::-1]):
        x = _whole_product(seen, product, node) if _is_scalar(seen, sixth, 1 / 6) else _gated(seen, product, sixth, node)
        if x is not None and seen.shape(x) == seen.shape(node.outputs[0]):
            changed = msgspec.structs.replace(node, op=ops.HardSwish(), inputs=(x,))
            return substitute(seen.graph, {node.name: (changed,)})
    return None


def _whole_product(seen: View, name: str, reader: Node) -> str | None:
    """x, where ``name`` is x * relu6(x + 3) and only ``reader`` reads it."""
    node = seen.private_producer(name, reader)
    if node is None or not isinstance(node.op, ops.Mul) or node.op.activation != "none":
        return None
    for x, gate in (node.inputs, node.inputs[::-1]):
        if _gate_of(seen, gate) == x:
            return x
    return None


def _gated(seen: View, x: str, gate: str, _reader: Node) -> str | None:
    """x, where ``gate`` is relu6(x + 3) / 6."""
    node = seen.producers.get(gate)
    if node is None or not isinstance(node.op, ops.Mul) or node.op.activation != "none":
        return None
    for inner, sixth in (node.inputs, node.inputs[::-1]):
        if _is_scalar(seen, sixth, 1 / 6) and _gate_of(seen, inner) == x:
            return x
    return None


def _gate_of(seen: View, name: str) -> str | None:
    """x, where ``name`` is relu6(x + 3)."""
    node = seen.producers.get(name)
    if node is not None and isinstance(node.op, ops.Relu6):
        node = seen.producers.get(node.inputs[0])
    elif node is None or getattr(node.op, "activation", "none") != "relu6":
        return None
    if node is None or not isinstance(node.op, ops.Add) or node.op.activation not in {"none", "relu6"}:
        return None
    for x, three in (node.inputs, node.inputs[::-1]):
        if _is_scalar(seen, three, 3.0):
            return x
    return None


def _is_scalar(seen: View, name: str, expected: float) -> bool:
    value = seen.constant(name)
    return value is not None and value.size == 1 and math.isclose(value.item(), expected, rel_tol=1e-6)
