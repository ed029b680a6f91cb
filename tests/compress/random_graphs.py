"""Random float Graphs: images or sequences through random layers, with shared tensors, dead channels and uneven weights."""

from __future__ import annotations

import numpy as np
from tests.compress.conftest import Sketch

from marram.core import operators as ops
from marram.core.graph import Graph

ACTIVATIONS = ("none", "relu", "relu6")


def random_graph(seed: int, *, nodes: int = 8) -> Graph:
    """A legal float Graph drawn from a seed."""
    sketch = Sketch(seed)
    random = sketch.random
    known = [sketch.input(1, *(int(n) for n in random.integers(3, 8, size=2)), int(random.integers(1, 5)))]
    while len(sketch.nodes) < nodes:
        step = STEPS[int(random.integers(len(STEPS)))]
        known += step(sketch, known[int(random.integers(max(0, len(known) - 3), len(known)))], known)
    return sketch.graph(*dict.fromkeys([known[-1], known[int(random.integers(1, len(known)))]]))


def _weights(sketch: Sketch, *shape: int) -> np.ndarray:
    values = sketch.normal(*shape) / np.sqrt(max(1, np.prod(shape[1:])))
    if sketch.random.random() < 0.3:
        values = values * 10 ** sketch.random.uniform(-2, 1, size=(shape[0],) + (1,) * (len(shape) - 1))
    if sketch.random.random() < 0.2:
        values[int(sketch.random.integers(shape[0]))] = 0
    return values.astype(np.float32)


def _bias(sketch: Sketch, size: int) -> np.ndarray | str:
    return sketch.normal(size) if sketch.random.random() < 0.6 else ""


def _pick(sketch: Sketch, *choices):
    return choices[int(sketch.random.integers(len(choices)))]


def _image(sketch: Sketch, x: str) -> bool:
    shape = sketch.shape(x)
    return len(shape) == 4 and min(shape[1:3]) >= 3 and shape[3] <= 16


def _conv(sketch: Sketch, x: str, _known) -> list[str]:
    if not _image(sketch, x):
        return _dense(sketch, x, _known)
    c, o, k = sketch.shape(x)[3], int(sketch.random.integers(1, 7)), int(sketch.random.integers(1, 4))
    padding = tuple(int(n) for n in sketch.random.integers(0, k, size=4)) if k > 1 else (0, 0, 0, 0)
    stride = tuple(int(n) for n in sketch.random.integers(1, 3, size=2))
    kind = int(sketch.random.integers(4))
    activation = _pick(sketch, *ACTIVATIONS)
    if kind == 0:
        op = ops.DepthwiseConv2D(stride=(stride[0],) * 2, padding=padding, activation=activation)
        m = int(sketch.random.integers(1, 3))
        weights = _weights(sketch, c * m, 1, k, k).transpose(1, 2, 3, 0)
        return [sketch(op, x, weights, _bias(sketch, c * m))]
    if kind == 1:
        op = ops.Conv2D(padding=padding, groups=c)
        return [sketch(op, x, _weights(sketch, 2 * c, k, k, 1), _bias(sketch, 2 * c))]
    if kind == 2 and min(padding) == 0:
        return [sketch(ops.TransposeConv2D(stride=stride), x, _weights(sketch, o, k, k, c), _bias(sketch, o))]
    op = ops.Conv2D(stride=stride, padding=padding, activation=activation)
    return [sketch(op, x, _weights(sketch, o, k, k, c), _bias(sketch, o))]


def _dense(sketch: Sketch, x: str, _known) -> list[str]:
    i, o = sketch.shape(x)[-1], int(sketch.random.integers(1, 9))
    return [sketch(ops.Dense(activation=_pick(sketch, *ACTIVATIONS)), x, _weights(sketch, o, i), _bias(sketch, o))]


def _norm(sketch: Sketch, x: str, _known) -> list[str]:
    c = sketch.shape(x)[-1]
    constants = (sketch.normal(c), sketch.normal(c), sketch.normal(c), np.abs(sketch.normal(c)) + 0.1)
    return [sketch(ops.BatchNorm(), x, *constants)]


def _activation(sketch: Sketch, x: str, _known) -> list[str]:
    kinds = (ops.Relu(), ops.Relu6(), ops.LeakyRelu(alpha=0.2), ops.HardSwish(), ops.Sigmoid(), ops.Tanh(), ops.Softmax())
    return [sketch(_pick(sketch, *kinds), x)]


def _constant(sketch: Sketch, x: str, _known) -> list[str]:
    c = sketch.shape(x)[-1]
    op = _pick(sketch, ops.Add(), ops.Mul(), ops.Sub(), ops.Add(activation="relu"))
    return [sketch(op, x, sketch.normal(_pick(sketch, 1, c)))]


def _pair(sketch: Sketch, x: str, known) -> list[str]:
    same = [name for name in known if sketch.shape(name) == sketch.shape(x)]
    other = _pick(sketch, *same)
    op = _pick(sketch, ops.Add(), ops.Sub(activation="relu"), ops.Mul(), ops.Concat(axis=len(sketch.shape(x)) - 1))
    return [sketch(op, x, other)]


def _move(sketch: Sketch, x: str, _known) -> list[str]:
    shape = sketch.shape(x)
    rank = len(shape)
    paddings = tuple((0, 0) if axis in {0, rank - 1} else (int(sketch.random.integers(2)), 1) for axis in range(rank))
    choices = [
        ops.Reshape(shape=(1, int(np.prod(shape[1:])))),
        ops.Reshape(shape=(1, int(np.prod(shape[1:-1])), shape[-1])),
        ops.Transpose(permutation=(0, *(int(n) + 1 for n in sketch.random.permutation(rank - 1)))),
        ops.Pad(paddings=paddings),
        ops.Slice(begin=(0,) * rank, end=(1, *(max(1, n - 1) for n in shape[1:])), strides=(1,) * rank),
    ]
    return [sketch(_pick(sketch, *choices), x)]


def _pool(sketch: Sketch, x: str, _known) -> list[str]:
    if not _image(sketch, x):
        return _activation(sketch, x, _known)
    padding = _pick(sketch, (0, 0, 0, 0), (1, 0, 1, 0), (1, 1, 1, 1))
    kinds = (
        ops.MaxPool2D(kernel=(2, 2), stride=(1, 1), padding=padding),
        ops.AveragePool2D(kernel=(3, 2), stride=(2, 2), activation="relu"),  # TFLite has no other padding than SAME
        ops.Mean(axes=(1, 2), keep_dims=bool(sketch.random.integers(2))),
        ops.Resize(size=(5, 6), method="nearest"),
    )
    return [sketch(_pick(sketch, *kinds), x)]


def _split(sketch: Sketch, x: str, _known) -> list[str]:
    c = sketch.shape(x)[-1]
    if c % 2:
        return _constant(sketch, x, _known)
    return list(sketch.many(ops.Split(axis=len(sketch.shape(x)) - 1, sizes=(c // 2, c // 2)), x))


STEPS = (_conv, _conv, _conv, _norm, _norm, _activation, _activation, _constant, _pair, _pair, _move, _pool, _split)
