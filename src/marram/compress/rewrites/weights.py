"""Weights of the linear layers: which axis carries output and input channels, and how a layer is scaled and shifted.

Everything is computed in float64 and rounded to float32 once.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from marram.compress.rewrites.rewriting import View, float_constant
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node

Linear = ops.Conv2D | ops.DepthwiseConv2D | ops.TransposeConv2D | ops.Dense
LINEAR = (ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv2D, ops.Dense)


def output_axis(op: Linear) -> int:
    """The axis of the weights that counts output channels."""
    return 3 if isinstance(op, ops.DepthwiseConv2D) else 0


def layer(seen: View, node: Node | None) -> tuple[Linear, Array, Array | None] | None:
    """Operator, weights and bias of a linear layer whose parameters are float constants; None for any other node."""
    if node is None or not isinstance(node.op, LINEAR):
        return None
    weights = seen.constant(node.inputs[1])
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    bias = seen.constant(name) if name else None
    if weights is None or weights.dtype != np.float32 or (name and bias is None):
        return None
    return node.op, weights, bias


def scaled_outputs(op: Linear, weights: Array, factors: Array) -> Array:
    """Weights with each output channel multiplied by its factor, float64."""
    shape = [1] * weights.ndim
    shape[output_axis(op)] = -1
    return weights.astype(np.float64) * factors.reshape(shape)


def scaled_inputs(op: Linear, weights: Array, factors: Array) -> Array:
    """Weights with each input channel multiplied by its factor, float64."""
    wide = weights.astype(np.float64)
    if isinstance(op, ops.DepthwiseConv2D):
        return np.asarray(wide * np.repeat(factors, weights.shape[3] // factors.size))
    if isinstance(op, ops.Conv2D) and op.groups > 1:
        by_group = np.repeat(factors.reshape(op.groups, -1), weights.shape[0] // op.groups, axis=0)
        return np.asarray(wide * by_group[:, None, None, :])
    return wide * factors


def summed_taps(op: Linear, weights: Array) -> Array:
    """For each output channel the sum of its weights."""
    axes = tuple(axis for axis in range(weights.ndim) if axis != output_axis(op))
    return np.asarray(weights.astype(np.float64).sum(axis=axes))


def with_parameters(
    graph: Graph, node: Node, *, weights: Array | None = None, bias: Array | None = None, **changes: Any
) -> tuple[Node, dict[str, Array]]:
    """A layer with new weights or bias under fresh names, and fields of the node changed; and the new constants."""
    made: dict[str, Array] = {}
    weights_name, bias_name = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else ""
    if weights is not None:
        weights_name, made = float_constant(graph, f"{node.name}/weights", weights)
    if bias is not None:
        bias_name, constant = float_constant(graph, f"{node.name}/bias", bias)
        made = {**made, **constant}
    inputs = (node.inputs[0], weights_name, bias_name)
    return msgspec.structs.replace(node, **{"inputs": inputs, **changes}), made
