"""Separation: a convolution becomes a depthwise and a pointwise one, the nearest in weights.

What a convolution does with one input channel is a matrix, output channels by places of the kernel. A separable convolution
has rank 1 there, so the nearest one is, channel by channel, the first singular triple (Eckart and Young 1936).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from marram.compress.rewrites.factorisation import layer_named, low_rank, two_layers
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.model.spec import verify


def separated(graph: Graph, nodes: Collection[str]) -> Graph:
    """Make convolutions separable. The pointwise one keeps name, bias and activation; a fine-tuning should follow.

    Args:
        graph: a float Graph.
        nodes: names of ungrouped Conv2D whose kernels have more than one place.

    Raises:
        UserError: no such node, one that is no such convolution, or that would need as many multiply-accumulates after.
    """
    for name in nodes:
        graph = _separated(graph, name)
    verify(graph, "float")
    return graph


def separable(weights: Array) -> tuple[Array, Array]:
    """Depthwise ``(1,KH,KW,C)`` and pointwise ``(O,1,1,C)`` weights, float64, nearest to a convolution's ``(O,KH,KW,C)``."""
    outputs, height, width, channels = weights.shape
    depthwise, pointwise = np.empty((1, height, width, channels)), np.empty((outputs, 1, 1, channels))
    for channel in range(channels):
        left, right = low_rank(weights[..., channel].reshape(outputs, height * width), 1)
        pointwise[:, 0, 0, channel] = left[:, 0]
        depthwise[0, :, :, channel] = right.reshape(height, width)
    return depthwise, pointwise


def _separated(graph: Graph, name: str) -> Graph:
    node, weights = layer_named(graph, name)
    outputs, height, width = weights.shape[:3] if weights.ndim == 4 else (len(weights), 1, 1)
    if not isinstance(node.op, ops.Conv2D) or height * width == 1:
        raise UserError("only convolutions with a kernel of more than one place can be separated", where=f"node {name}")
    if height * width + outputs >= outputs * height * width:
        raise UserError(
            f"separation gains nothing with {outputs} output channels and a {height}x{width} kernel", where=f"node {name}"
        )
    first = ops.DepthwiseConv2D(stride=node.op.stride, dilation=node.op.dilation, padding=node.op.padding)
    second = ops.Conv2D(activation=node.op.activation)
    return two_layers(graph, node, first=first, second=second, weights=separable(weights), part="depthwise")
