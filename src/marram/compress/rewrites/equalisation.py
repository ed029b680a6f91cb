"""Equalisation: channel ranges of neighbouring layers are balanced, so that one int8 scale serves every channel.

With f positively homogeneous (f(s x) = s f(x) for s > 0) between them, dividing a channel of the first layer by s and
multiplying that input channel of the second by s changes nothing but the ranges. Source: Nagel et al., Data-Free Quantization
Through Weight Equalization and Bias Correction, ICCV 2019, section 4.1. Pairs with relu6, which is not homogeneous, are left
alone.
"""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compress.rewrites.rewriting import View, substitute, view
from marram.compress.rewrites.weights import Linear, layer, output_axis, scaled_inputs, scaled_outputs, with_parameters
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node

_TOLERANCE = 1e-4
_LINEAR_OR_RELU = frozenset({"none", "relu"})
_Parts = tuple[Linear, Array, Array | None]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two layers, by name, with only homogeneous operators between; ``copies`` places for each channel after a flatten."""

    first: str
    second: str
    copies: int = 1


def equalise(graph: Graph, *, rounds: int = 20) -> Graph:
    """Equalise the weight ranges of every pair of neighbouring layers of a folded float Graph.

    Args:
        graph: a folded float Graph.
        rounds: passes over all pairs; it ends earlier when the factors settle.

    Returns:
        A Graph of the same nodes that computes the same function up to float32 rounding.
    """
    found = pairs(graph)
    for _ in range(rounds):
        largest = 0.0
        for pair in found:
            graph, change = _balanced(graph, pair)
            largest = max(largest, change)
        if largest < _TOLERANCE:
            break
    return graph


def pairs(graph: Graph) -> tuple[Pair, ...]:
    """The pairs of layers that can be equalised."""
    seen = view(graph)
    return tuple(pair for node in graph.nodes if (pair := _pair(seen, node)) is not None)


def _pair(seen: View, first: Node) -> Pair | None:
    """The pair that a layer opens, if its output runs through homogeneous operators alone into one other layer."""
    parts = layer(seen, first)
    if parts is None or parts[0].activation not in _LINEAR_OR_RELU:
        return None
    channels = seen.shape(first.outputs[0])[-1]
    name = first.outputs[0]
    while (reader := seen.sole_reader(name)) is not None:
        if layer(seen, reader) is not None:
            width = seen.shape(name)[-1]
            return Pair(first=first.name, second=reader.name, copies=width // channels) if reader.inputs[0] == name else None
        if not _passes(seen, reader, channels):
            return None
        (name,) = reader.outputs
    return None


def _passes(seen: View, node: Node, channels: int) -> bool:
    """Whether an operator is positively homogeneous and keeps channels apart along the last axis."""
    before, after = seen.shape(node.inputs[0]), seen.shape(node.outputs[0])
    match node.op:
        case ops.MaxPool2D() | ops.AveragePool2D():
            return node.op.activation in _LINEAR_OR_RELU
        case ops.Relu() | ops.LeakyRelu() | ops.Resize():
            return True
        case ops.Pad():
            return node.op.value == 0.0 and node.op.paddings[-1] == (0, 0)
        case ops.Mean() | ops.Sum():
            return len(before) - 1 not in node.op.axes
        case ops.Reshape():
            return before[-1] == channels and len(after) > 1 and after[-1] % channels == 0 and before[0] == after[0]
        case _:
            return False


def _balanced(graph: Graph, pair: Pair) -> tuple[Graph, float]:
    """The graph with one pair balanced, and how far the largest factor was from 1."""
    seen = view(graph)
    nodes = {node.name: node for node in graph.nodes}
    first, second = nodes[pair.first], nodes[pair.second]
    front, back = layer(seen, first), layer(seen, second)
    assert front is not None
    assert back is not None
    factors = _factors(front, back, seen.shape(first.outputs[0])[-1])
    weights = scaled_outputs(front[0], front[1], 1 / factors)
    bias = None if front[2] is None else front[2] / factors
    changed, made = with_parameters(graph, first, weights=weights, bias=bias)
    graph = substitute(graph, {first.name: (changed,)}, constants=made)
    changed, made = with_parameters(graph, second, weights=scaled_inputs(back[0], back[1], np.tile(factors, pair.copies)))
    return substitute(graph, {second.name: (changed,)}, constants=made), float(np.abs(factors - 1).max())


def _factors(front: _Parts, back: _Parts, channels: int) -> Array:
    """The factors sqrt(r1 / r2), one for each channel, 1 where a range is zero.

    The first range counts the bias in: the paper absorbs large biases afterwards, here they are not made large.
    """
    r1 = _output_peaks(front)
    if front[2] is not None:
        r1 = np.maximum(r1, np.abs(front[2].astype(np.float64)))
    r2 = _input_peaks(back, channels)
    usable = (r1 > 0) & (r2 > 0)
    return np.sqrt(np.where(usable, r1, 1.0) / np.where(usable, r2, 1.0))


def _output_peaks(part: _Parts) -> Array:
    op, weights, _ = part
    axis = output_axis(op)
    return np.asarray(np.abs(weights.astype(np.float64)).max(axis=tuple(a for a in range(weights.ndim) if a != axis)))


def _input_peaks(part: _Parts, channels: int) -> Array:
    """The largest magnitude that each channel of the input meets."""
    op, weights, _ = part
    size = np.abs(weights.astype(np.float64))
    if isinstance(op, ops.DepthwiseConv2D):
        return np.asarray(size.max(axis=(0, 1, 2)).reshape(channels, -1).max(axis=1))
    if isinstance(op, ops.Conv2D) and op.groups > 1:
        by_group = size.reshape(op.groups, -1, size.shape[3]).max(axis=1)
        return np.asarray(by_group.reshape(-1))
    flat = size.reshape(-1, size.shape[-1]).max(axis=0)
    return np.asarray(flat.reshape(-1, channels).max(axis=0))
