"""Patches: a layer with weights as matrix products, in groups of outputs that read the same inputs.

The outputs of a group are ``patches @ weights.T``. A convolution and a dense layer are one group, a grouped convolution as many
as it has, a depthwise convolution one for each output channel.
"""

from __future__ import annotations

import numpy as np

from marram.core import operators as ops
from marram.core.graph import Array

Layer = ops.Conv2D | ops.DepthwiseConv2D | ops.Dense
"""Operators that can be written so."""


def weight_groups(op: Layer, weights: Array) -> Array:
    """Weights as the node has them -> (groups, outputs of one, inputs of one)."""
    match op:
        case ops.Conv2D():
            return weights.reshape(op.groups, weights.shape[0] // op.groups, -1)
        case ops.DepthwiseConv2D():
            return weights.reshape(-1, weights.shape[3]).T[:, None]
        case ops.Dense():
            return weights[None]


def from_weight_groups(op: Layer, groups: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of ``weight_groups``."""
    if isinstance(op, ops.DepthwiseConv2D):
        return groups[:, 0].T.reshape(shape)
    return groups.reshape(shape)


def channel_groups(op: Layer, values: Array) -> Array:
    """Outputs (..., O) -> (groups, positions, outputs of one); numbers of output channels (O,) likewise with one position."""
    groups = op.groups if isinstance(op, ops.Conv2D) else values.shape[-1] if isinstance(op, ops.DepthwiseConv2D) else 1
    return values.reshape(-1, groups, values.shape[-1] // groups).transpose(1, 0, 2)


def patches(op: Layer, kernel: tuple[int, int], x: Array, channels: int) -> Array:
    """Inputs of a layer -> (groups, positions, inputs of one).

    Args:
        op: the layer.
        kernel: height and width of its window; of no meaning for a dense layer.
        x: (N, H, W, C) or, for a dense layer, (..., I); real numbers, so that padding is zeros.
        channels: outputs of the layer.
    """
    if isinstance(op, ops.Dense):
        return x.reshape(1, -1, x.shape[-1])
    top, bottom, left, right = op.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    (high, wide), (down, across), (far, aside) = kernel, op.stride, op.dilation
    rows = (padded.shape[1] - (high - 1) * far - 1) // down + 1
    columns = (padded.shape[2] - (wide - 1) * aside - 1) // across + 1
    taps = [
        padded[:, y * far : y * far + (rows - 1) * down + 1 : down, z * aside : z * aside + (columns - 1) * across + 1 : across]
        for y in range(high)
        for z in range(wide)
    ]
    found = np.stack(taps, axis=3)  # (N, rows, columns, taps, C)
    samples, depth, count = len(x), x.shape[3], high * wide
    if isinstance(op, ops.DepthwiseConv2D):
        each = found.transpose(4, 0, 1, 2, 3).reshape(depth, samples * rows * columns, count)
        return np.repeat(each, channels // depth, axis=0)
    split = found.reshape(samples * rows * columns, count, op.groups, depth // op.groups)
    return split.transpose(2, 0, 1, 3).reshape(op.groups, samples * rows * columns, -1)
