"""Random float Graphs whose inner channels can go: random layers between a first convolution and dense layers at every end."""

from __future__ import annotations

import numpy as np
from tests.compress.conftest import Sketch
from tests.compress.random_graphs import STEPS

from marram.core import operators as ops
from marram.core.graph import Graph


def random_net(seed: int, *, nodes: int = 10) -> Graph:
    """A legal float Graph drawn from a seed."""
    sketch = Sketch(seed)
    random = sketch.random
    if random.random() < 0.6:
        x = sketch.input(1, 4, 5, 2)
        x = sketch(ops.Conv2D(padding=(1, 1, 1, 1)), x, sketch.normal(8, 3, 3, 2), sketch.normal(8))
    else:
        x = sketch.input(1, 6, 3)
        x = sketch(ops.Dense(), x, sketch.normal(8, 3), sketch.normal(8))
    known = [x]
    while len(sketch.nodes) < nodes:
        steps = STEPS if random.random() < 0.4 else CHANNEL_STEPS
        step = steps[int(random.integers(len(steps)))]
        source = known[int(random.integers(max(0, len(known) - 3), len(known)))]
        known += step(sketch, source, known)
    read = {name for node in sketch.nodes for name in node.inputs}
    ends = [name for name in known if name not in read]
    return sketch.graph(*[_closed(sketch, name) for name in ends])


def _closed(sketch: Sketch, x: str) -> str:
    if sketch.random.random() < 0.4:
        x = sketch(ops.Reshape(shape=(1, int(np.prod(sketch.shape(x))))), x)
    return sketch(ops.Dense(), x, sketch.normal(3, sketch.shape(x)[-1]), sketch.normal(3))


def _grouped(sketch: Sketch, x: str, known) -> list[str]:
    shape = sketch.shape(x)
    if len(shape) != 4 or shape[3] % 2:
        return _slice(sketch, x, known)
    groups = [g for g in (2, 4) if shape[3] % g == 0][-1]
    weights = sketch.normal(groups * 3, 1, 1, shape[3] // groups)
    return [sketch(ops.Conv2D(groups=groups), x, weights, sketch.normal(groups * 3))]


def _slice(sketch: Sketch, x: str, _known) -> list[str]:
    shape = sketch.shape(x)
    if shape[-1] < 3:
        return [sketch(ops.Relu(), x)]
    begin, end = int(sketch.random.integers(0, 2)), int(sketch.random.integers(shape[-1] - 1, shape[-1] + 1))
    strides = (1,) * (len(shape) - 1) + (int(sketch.random.random() < 0.2) + 1,)
    op = ops.Slice(begin=(0,) * (len(shape) - 1) + (begin,), end=(*shape[:-1], end), strides=strides)
    return [sketch(op, x)]


def _pad(sketch: Sketch, x: str, _known) -> list[str]:
    rank = len(sketch.shape(x))
    return [sketch(ops.Pad(paddings=((0, 0),) * (rank - 1) + ((1, 2),), value=0.5), x)]


def _residual(sketch: Sketch, x: str, _known) -> list[str]:
    c = sketch.shape(x)[-1]
    y = sketch(ops.Dense(activation="relu"), x, sketch.normal(c, c), sketch.normal(c))
    return [y, sketch(ops.Add(), x, y)]


def _gate(sketch: Sketch, x: str, known) -> list[str]:
    shape = sketch.shape(x)
    if len(shape) != 4:
        return _residual(sketch, x, known)
    mean = sketch(ops.Mean(axes=(1, 2), keep_dims=True), x)
    gate = sketch(ops.Sigmoid(), sketch(ops.Dense(), mean, sketch.normal(shape[3], shape[3]), ""))
    return [sketch(ops.Mul(), x, gate)]


def _sequence(sketch: Sketch, x: str, known) -> list[str]:
    shape = sketch.shape(x)
    if len(shape) == 4:
        return [sketch(ops.Reshape(shape=(1, shape[1] * shape[2], shape[3])), x)]
    return _residual(sketch, x, known)


def _recurrent(sketch: Sketch, x: str, known) -> list[str]:
    shape = sketch.shape(x)
    if len(shape) != 3:
        return _sequence(sketch, x, known)
    h, gates = 6, 3 if sketch.random.random() < 0.5 else 4
    weights = sketch.normal(gates * h, shape[2], scale=0.3), sketch.normal(gates * h, h, scale=0.3), sketch.normal(gates * h)
    if gates == 4:
        return list(sketch.many(ops.Lstm(hidden=h), x, *weights))
    return list(sketch.many(ops.Gru(hidden=h, reverse=True), x, *weights, sketch.normal(gates * h)))


def _attention(sketch: Sketch, x: str, known) -> list[str]:
    shape = sketch.shape(x)
    if len(shape) != 3:
        return _sequence(sketch, x, known)
    heads, width = 3, 2
    parts = []
    for _ in range(3):
        y = sketch(ops.Dense(), x, sketch.normal(heads * width, shape[2]), sketch.normal(heads * width))
        y = sketch(ops.Reshape(shape=(1, shape[1], heads, width)), y)
        parts.append(sketch(ops.Transpose(permutation=(0, 2, 1, 3)), y))
    scores = sketch(ops.Softmax(), sketch(ops.MatMul(transpose_b=True), parts[0], parts[1]))
    mixed = sketch(ops.Transpose(permutation=(0, 2, 1, 3)), sketch(ops.MatMul(), scores, parts[2]))
    return [sketch(ops.Reshape(shape=(1, shape[1], heads * width)), mixed)]


def _product(sketch: Sketch, x: str, known) -> list[str]:
    """Every place with every other, over the channels."""
    shape = sketch.shape(x)
    if len(shape) != 3:
        return _sequence(sketch, x, known)
    y = sketch(ops.Dense(), x, sketch.normal(shape[2], shape[2]), "")
    return [sketch(ops.MatMul(transpose_b=True), x, y)]


def _sum(sketch: Sketch, x: str, _known) -> list[str]:
    return [sketch(ops.Sum(axes=(len(sketch.shape(x)) - 1,), keep_dims=True), x)]


CHANNEL_STEPS = (_grouped, _slice, _pad, _residual, _gate, _sequence, _recurrent, _attention, _product, _sum)
