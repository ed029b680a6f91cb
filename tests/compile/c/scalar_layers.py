"""Hypothesis strategy: chains of layers with weights, in the shapes and numbers at which the scalar kernels take other paths.

Channel and depth tails around 4 and 8, kernels that reach over borders, strides, dilations, images narrower than a block,
channels that are dead, accumulators at their ends, ranges that a relu narrows, channels that shift left.
"""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from tests.model.graphs import Draft

from marram.core import operators as ops
from marram.core.graph import Array, Graph, Tensor

CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17)
KERNELS = ((1, 1), (3, 3), (3, 3), (2, 3), (5, 1), (1, 4), (4, 5))


def _fits(x: Tensor, kernel: ops.Pair, dilation: ops.Pair, padding: ops.Padding) -> bool:
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
    return x.shape[1] + padding[0] + padding[1] >= reach[0] and x.shape[2] + padding[2] + padding[3] >= reach[1]


def _padding(d: Draft, kernel: ops.Pair, dilation: ops.Pair) -> ops.Padding:
    most = [(size - 1) * step for size, step in zip(kernel, dilation, strict=True)]
    if d.number(0, 2):
        half = [size // 2 for size in most]
        return (half[0], most[0] - half[0], half[1], most[1] - half[1])
    return (d.number(0, most[0]), d.number(0, most[0]), d.number(0, most[1]), d.number(0, most[1]))


def _convolution(d: Draft, x: Tensor) -> Tensor:
    for _ in range(4):
        kernel, stride = d.choice(KERNELS), d.choice([(1, 1), (1, 1), (2, 2), (1, 2), (3, 1)])
        dilation = (d.number(1, 2), d.number(1, 2)) if stride == (1, 1) else (1, 1)
        padding = _padding(d, kernel, dilation)
        if _fits(x, kernel, dilation, padding):
            break
    else:
        kernel, stride, dilation, padding = (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)
    op = ops.Conv2D(stride=stride, dilation=dilation, padding=padding, activation=d.activation())
    return d.layer(op, x, (d.choice(CHANNELS), *kernel, x.shape[3]), 0, math.prod(kernel) * x.shape[3])[0]


def _depthwise(d: Draft, x: Tensor) -> Tensor:
    stride = d.choice([(1, 1), (1, 1), (2, 2)])
    padding = d.choice([(1, 1, 1, 1), (0, 1, 0, 1), (0, 0, 0, 0), (1, 0, 1, 1), (2, 2, 2, 2)])
    padding = padding if _fits(x, (3, 3), (1, 1), padding) else (2, 2, 2, 2)
    op = ops.DepthwiseConv2D(stride=stride, padding=padding, activation=d.activation())
    return d.layer(op, x, (1, 3, 3, x.shape[3]), 3, 9)[0]


def _extremes(d: Draft) -> None:
    """Some channels of nothing, of the greatest weights, or of a bias that nothing overcomes."""
    for node in d.nodes:
        weights = d.constants[node.inputs[1]].copy()
        along = np.moveaxis(weights, 3 if isinstance(node.op, ops.DepthwiseConv2D) else 0, 0)
        for channel in range(len(along)):
            kind = d.rng.integers(0, 12)
            along[channel] = {0: 0, 1: 127, 2: -127}.get(int(kind), along[channel])
            if kind == 3 and len(node.inputs) > 2 and node.inputs[2]:
                bias = d.constants[node.inputs[2]].copy()
                bias[channel] = d.rng.choice([-1, 1]) * 2**28
                d.constants[node.inputs[2]] = bias
        d.constants[node.inputs[1]] = weights


@st.composite
def chains(draw: st.DrawFn) -> Graph:
    """One to three convolutions and depthwise convolutions in a row, or one to three dense layers."""
    d = Draft(draw, integer=True)
    layers = d.number(1, 3)
    if d.number(0, 4) == 0:
        x = d.add_input((1, d.number(1, 70)) if d.number(0, 1) else (1, d.number(1, 4), d.number(1, 20)))
        for _ in range(layers):
            op = ops.Dense(activation=d.activation())
            x = d.layer(op, x, (d.number(1, 27), x.shape[-1]), 0, x.shape[-1])[0]
    else:
        x = d.add_input((1, d.number(1, 13), d.number(1, 13), d.choice(CHANNELS)))
        for _ in range(layers):
            x = (_convolution if d.number(0, 1) else _depthwise)(d, x)
    _extremes(d)
    return d.graph()


def edges(graph: Graph, count: int, *, seed: int) -> tuple[Array, ...]:
    """Random bytes, and vectors of the least, of the greatest and of both values of int8."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (count, *graph.input_tensors[0].shape[1:])).astype(np.int8)
    x[0], x[1] = -128, 127
    x[2] = rng.choice(np.array([-128, 127], np.int8), x[2].shape)
    return (x,)
