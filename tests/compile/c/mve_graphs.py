"""Graphs of layers side by side, each with an input of its own, in the shapes in which the MVE kernels differ."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from tests.model.graphs import Draft, affine

from marram.core import operators as ops
from marram.core.graph import Array, Graph
from marram.model.shapes import output_shapes

CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 33, 40)


def _padding(d: Draft, kernel: int, size: int, stride: int) -> tuple[int, int]:
    """TFLite's SAME, or anything that a kernel may have on both sides."""
    if d.number(0, 1):
        total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        return total // 2, total - total // 2
    return d.number(0, kernel - 1), d.number(0, kernel - 1)


def _window(d: Draft, op: type, *, most: int) -> tuple[object, tuple[int, int, int, int]]:
    """An operator with a window and an input shape that it fits."""
    kernel = (3, 3) if d.number(0, 1) else (d.number(1, most), d.number(1, most))
    stride = d.choice([(1, 1), (1, 1), (2, 2), (1, 2), (2, 1), (3, 3)])
    size = (d.number(kernel[0], kernel[0] + 9), d.number(kernel[1], kernel[1] + 11))
    padding = (*_padding(d, kernel[0], size[0], stride[0]), *_padding(d, kernel[1], size[1], stride[1]))
    more = {"kernel": kernel} if op in {ops.AveragePool2D, ops.MaxPool2D} else {}
    made = op(stride=stride, padding=padding, activation=d.activation(), **more)
    return (made, kernel), (1, *size, d.choice(CHANNELS))


def conv2d(d: Draft) -> None:
    (op, kernel), shape = _window(d, ops.Conv2D, most=5)
    x = d.add_input(shape)
    d.layer(op, x, (d.choice(CHANNELS), *kernel, shape[3]), 0, math.prod(kernel) * shape[3])


def sequence(d: Draft) -> None:
    kernel, stride, time = d.number(1, 9), d.number(1, 2), d.number(9, 24)
    x = d.add_input((1, 1, time, d.choice(CHANNELS)))
    op = ops.Conv2D(stride=(1, stride), padding=(0, 0, *_padding(d, kernel, time, stride)), activation=d.activation())
    d.layer(op, x, (d.choice(CHANNELS), 1, kernel, x.shape[3]), 0, kernel * x.shape[3])


def depthwise(d: Draft) -> None:
    (op, kernel), shape = _window(d, ops.DepthwiseConv2D, most=5)
    x = d.add_input(shape)
    d.layer(op, x, (1, *kernel, shape[3]), 3, math.prod(kernel))


def dense(d: Draft) -> None:
    depth = d.choice((1, 8, 15, 16, 16, 17, 32, 32, 48, 64, 100, 128))
    shape = (1, depth) if d.number(0, 1) else (1, d.number(1, 7), depth)
    x = d.add_input(shape)
    d.layer(ops.Dense(activation=d.activation()), x, (d.choice(CHANNELS), depth), 0, depth)


def total(d: Draft) -> None:
    shape = (1, d.number(1, 7), d.number(1, 9), d.choice(CHANNELS))
    a, b = d.add_input(shape), d.add_input(shape)
    op = ops.Add(activation=d.activation()) if d.number(0, 1) else ops.Sub(activation=d.activation())
    larger = max(a.quantisation.scale, b.quantisation.scale)
    d.apply(op, [a, b], [d.quantisation(1.5 * larger)])


def pool(d: Draft) -> None:
    (op, _), shape = _window(d, d.choice((ops.AveragePool2D, ops.MaxPool2D)), most=5)
    x = d.add_input(shape)
    if min(output_shapes(op, [shape])[0]) >= 1:
        d.apply(op, [x], [x.quantisation])


def whole_pool(d: Draft) -> None:
    height, width = d.number(8, 25), d.number(1, 12)
    x = d.add_input((1, height, width, d.choice(CHANNELS)))
    d.apply(ops.AveragePool2D(kernel=(height, width), stride=(1, 1)), [x], [x.quantisation])


def table(d: Draft) -> None:
    x = d.add_input((1, d.number(1, 100)))
    d.apply(ops.Sigmoid(), [x], [affine(1 / 256, -128)])


KINDS: tuple[Callable[[Draft], None], ...] = (
    conv2d,
    conv2d,
    sequence,
    depthwise,
    depthwise,
    dense,
    dense,
    total,
    pool,
    whole_pool,
    table,
)


@st.composite
def layers(draw: st.DrawFn) -> Graph:
    """One layer of each kind."""
    d = Draft(draw, integer=True)
    for kind in KINDS:
        kind(d)
    return d.graph()


@st.composite
def chains(draw: st.DrawFn) -> Graph:
    """Convolutions, pointwise, depthwise ones and a sum, one after another, with room for rings and for work in place."""
    d = Draft(draw, integer=True)
    width, channels = d.number(3, 14), d.choice((4, 8, 16, 20, 24))
    x = d.add_input((1, d.number(10, 24), width, d.choice((1, 3, 8))))
    (x,) = d.layer(ops.Conv2D(padding=(1, 1, 1, 1), activation="relu"), x, (channels, 3, 3, x.shape[3]), 0, 9 * x.shape[3])
    for _ in range(2):
        (y,) = d.layer(ops.DepthwiseConv2D(padding=(1, 1, 1, 1), activation=d.activation()), x, (1, 3, 3, channels), 3, 9)
        (y,) = d.layer(ops.Conv2D(activation=d.activation()), y, (channels, 1, 1, channels), 0, channels)
        (x,) = d.apply(ops.Add(activation="relu"), [x, y], [d.quantisation(x.quantisation.scale + y.quantisation.scale)])
    stride = (2, 2)
    (x,) = d.layer(ops.DepthwiseConv2D(stride=stride, padding=(1, 1, 1, 1)), x, (1, 3, 3, channels), 3, 9)
    (x,) = d.layer(ops.Conv2D(), x, (d.choice(CHANNELS), 1, 1, channels), 0, channels)
    return d.graph()


def samples(graph: Graph, count: int, *, seed: int) -> list[Array]:
    """Random integers; every second sample has only the least and the greatest."""
    rng = np.random.default_rng(seed)
    found = []
    for tensor in graph.input_tensors:
        array = rng.integers(-128, 128, (count, *tensor.shape[1:])).astype(np.int8)
        array[1::2] = rng.choice(np.array([-128, 127], np.int8), array[1::2].shape)
        array[3::4] = -128
        found.append(array)
    return found
