"""Random layers for sample nets: a draft of a float graph grows by them, one at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Tensor
from marram.core.operators import Activation, Operator
from marram.model.shapes import output_shapes

_MOST_MACS = 600_000
"""Of a layer: the emulator makes some hundred million instructions a second, and counts more slowly."""


class Draft:
    """A float graph that grows layer by layer; ``at`` is the tensor that the next one reads."""

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng([seed, 20])
        self.tensors = {"x": Tensor(name="x", shape=shape)}
        self.constants: dict[str, Array] = {}
        self.nodes: list[Node] = []
        self.at = "x"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor that the next layer reads."""
        return self.tensors[self.at].shape

    def one_of(self, *values: Any) -> Any:
        """A draw with equal chances."""
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share: float) -> bool:
        """True in about that share of draws."""
        return bool(self.rng.random() < share)

    def channels(self, most: int = 64) -> int:
        """A number of channels: mostly multiples of 4, some of 8, some odd."""
        return int(self.one_of(4, 8, 8, 1, 1, 2) * self.rng.integers(1, 17)) % most or 8

    def activation(self) -> Activation:
        """None or a ReLU."""
        found: Activation = self.one_of("none", "relu", "relu", "relu6")
        return found

    def constant(self, values: Array) -> str:
        """Adds a constant, and gives its name."""
        name = f"c{len(self.constants)}"
        self.constants[name] = values.astype(np.float32)
        self.tensors[name] = Tensor(name=name, shape=values.shape)
        return name

    def weights(self, shape: tuple[int, ...], depth: int, outputs: int) -> tuple[str, str]:
        """Weights with outputs of about unit variance, and a bias."""
        values = self.rng.normal(size=shape) * self.rng.uniform(0.7, 1.4) / math.sqrt(depth)
        return self.constant(values), self.constant(self.rng.normal(size=outputs) * 0.1)

    def add(self, op: Operator, *inputs: str) -> str:
        """Adds a node that reads ``inputs``; its output is read next."""
        name = f"n{len(self.nodes)}"
        node = Node(name=name, op=op, inputs=inputs, outputs=(f"t{len(self.nodes)}",))
        (shape,) = output_shapes(op, [self.tensors[each].shape if each else () for each in inputs])
        self.tensors[node.outputs[0]] = Tensor(name=node.outputs[0], shape=shape)
        self.nodes.append(node)
        self.at = node.outputs[0]
        return self.at

    def graph(self, name: str) -> Graph:
        """What was drawn, as a Graph."""
        return Graph(
            name=name,
            inputs=("x",),
            outputs=(self.at,),
            tensors=self.tensors,
            constants=self.constants,
            nodes=tuple(self.nodes),
        )


def _padding(draft: Draft, kernel: tuple[int, int], stride: tuple[int, int], *, same: bool) -> tuple[int, int, int, int]:
    pads: list[int] = []
    for size, reach, step in zip(draft.shape[1:3], kernel, stride, strict=True):
        total = max((-(-size // step) - 1) * step + reach - size, 0) if same else 0
        pads += [total // 2, total - total // 2]
    return (pads[0], pads[1], pads[2], pads[3])


def _window(draft: Draft) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Kernel, stride and padding of a window operator on an image or on a sequence (H = 1)."""
    _, height, width, _ = draft.shape
    size = draft.one_of(3, 3, 3, 5, 2, 1, 7) if height > 1 else draft.one_of(3, 3, 5, 7, 8)
    step = draft.one_of(1, 1, 2) if size > 1 else 1
    kernel = (min(size, height), min(size if draft.chance(0.85) else draft.one_of(1, 3, 4), width))
    stride = (step if height > 1 else 1, step)
    padding = _padding(draft, kernel, stride, same=draft.chance(0.8))
    return kernel, stride, padding


def conv(draft: Draft) -> None:
    """A convolution of any window."""
    kernel, stride, padding = _window(draft)
    depth = kernel[0] * kernel[1] * draft.shape[3]
    places = draft.shape[1] * draft.shape[2] // (stride[0] * stride[1])
    outputs = draft.channels(int(np.clip(_MOST_MACS // (depth * places), 1, 64)) + 1)
    names = draft.weights((outputs, *kernel, draft.shape[3]), depth, outputs)
    draft.add(ops.Conv2D(stride=stride, padding=padding, activation=draft.activation()), draft.at, *names)


def pointwise(draft: Draft) -> None:
    """A convolution by one pixel."""
    depth, places = draft.shape[3], draft.shape[1] * draft.shape[2]
    outputs = draft.channels(int(np.clip(_MOST_MACS // (depth * places), 1, 96)) + 1)
    names = draft.weights((outputs, 1, 1, depth), depth, outputs)
    draft.add(ops.Conv2D(activation=draft.activation()), draft.at, *names)


def depthwise(draft: Draft) -> None:
    """A depthwise convolution, mostly of 3 x 3."""
    if draft.shape[1] > 1 and draft.chance(0.75):
        step = draft.one_of(1, 1, 2)
        kernel, stride = (3, 3), (step, step)
        kernel = (min(3, draft.shape[1]), min(3, draft.shape[2]))
        padding = _padding(draft, kernel, stride, same=draft.chance(0.85))
    else:
        kernel, stride, padding = _window(draft)
    channels, depth = draft.shape[3], kernel[0] * kernel[1]
    names = draft.weights((1, *kernel, channels), depth, channels)
    draft.add(ops.DepthwiseConv2D(stride=stride, padding=padding, activation=draft.activation()), draft.at, *names)


def residual(draft: Draft) -> None:
    """X + conv(x), now and then x + pointwise(depthwise(x))."""
    start, channels = draft.at, draft.shape[3]
    kernel = (min(3, draft.shape[1]), min(3, draft.shape[2]))
    padding = _padding(draft, kernel, (1, 1), same=True)
    if draft.shape[1] * draft.shape[2] * 9 * channels**2 < 2 * _MOST_MACS and draft.chance(0.5):
        names = draft.weights((channels, *kernel, channels), kernel[0] * kernel[1] * channels, channels)
        draft.add(ops.Conv2D(padding=padding), draft.at, *names)
    else:
        names = draft.weights((1, *kernel, channels), kernel[0] * kernel[1], channels)
        draft.add(ops.DepthwiseConv2D(padding=padding, activation="relu"), draft.at, *names)
        names = draft.weights((channels, 1, 1, channels), channels, channels)
        draft.add(ops.Conv2D(), draft.at, *names)
    kind: type[ops.Add | ops.Sub | ops.Mul] = draft.one_of(ops.Add, ops.Add, ops.Add, ops.Sub, ops.Mul)
    draft.add(kind(activation=draft.one_of("none", "none", "relu")), start, draft.at)


def pool(draft: Draft) -> None:
    """A maximum or an average."""
    _, height, width, _ = draft.shape
    size = draft.one_of(2, 2, 3)
    kernel = (min(size, height), min(size, width))
    stride = kernel if draft.chance(0.7) else (1, min(2, width))
    kind: type[ops.MaxPool2D | ops.AveragePool2D] = draft.one_of(ops.MaxPool2D, ops.AveragePool2D)
    padding = _padding(draft, kernel, stride, same=draft.chance(0.3))
    draft.add(kind(kernel=kernel, stride=stride, padding=padding), draft.at)


def elementwise(draft: Draft) -> None:
    """An operator by a table."""
    choices: tuple[Operator, ...] = (ops.Relu(), ops.HardSwish(), ops.Sigmoid(), ops.Tanh(), ops.LeakyRelu(alpha=0.1))
    draft.add(draft.one_of(*choices), draft.at)


def concatenated(draft: Draft) -> None:
    """Two pointwise branches, side by side in channels."""
    start, parts = draft.at, []
    for _ in range(2):
        draft.at = start
        pointwise(draft)
        parts.append(draft.at)
    draft.add(ops.Concat(axis=3), *parts)


def gated(draft: Draft) -> None:
    """Squeeze and excite: channels times the sigmoid of a dense layer of their means."""
    start, channels = draft.at, draft.shape[3]
    draft.add(ops.Mean(axes=(1, 2), keep_dims=True), start)
    names = draft.weights((channels, 1, 1, channels), channels, channels)
    draft.add(ops.Conv2D(), draft.at, *names)
    draft.add(ops.Sigmoid(), draft.at)
    draft.add(ops.Mul(), start, draft.at)


def padded(draft: Draft) -> None:
    """A Pad that may stay one."""
    pads = tuple((int(a), int(b)) for a, b in draft.rng.integers(0, 3, (2, 2)))
    first = pads[0] if draft.shape[1] > 1 else (0, 0)
    draft.add(ops.Pad(paddings=((0, 0), first, pads[1], (0, 0))), draft.at)
    if draft.chance(0.5):
        pool(draft)


def grown(draft: Draft) -> None:
    """A larger image, where the image is small."""
    _, height, width, channels = draft.shape
    if height * width > 300 or height == 1:
        pointwise(draft)
    elif draft.chance(0.3):
        draft.add(ops.Resize(size=(2 * height, 2 * width), method="nearest"), draft.at)
    else:
        outputs = draft.channels(24)
        size = draft.one_of(2, 4)
        names = draft.weights((outputs, size, size, channels), size * size * channels // 4 or 1, outputs)
        pad = (size - 2) // 2
        op = ops.TransposeConv2D(stride=(2, 2), padding=(pad,) * 4, activation=draft.one_of("none", "relu"))
        draft.add(op, draft.at, *names)


def dense(draft: Draft, outputs: int) -> None:
    """A fully connected layer on the last axis."""
    depth = draft.shape[-1]
    names = draft.weights((outputs, depth), depth, outputs)
    draft.add(ops.Dense(activation=draft.activation()), draft.at, *names)


def attention(draft: Draft, heads: int) -> None:
    """Attention of some heads over a sequence, added to it."""
    _, steps, width = draft.shape
    start, parts = draft.at, []
    turned = draft.chance(0.5)  # the keys by a Transpose, or by the product itself
    for index in range(3):
        names = draft.weights((width, width), width, width)
        draft.add(ops.Dense(), start, *names)
        draft.add(ops.Reshape(shape=(1, steps, heads, width // heads)), draft.at)
        order = (0, 2, 3, 1) if index == 1 and turned else (0, 2, 1, 3)
        parts.append(draft.add(ops.Transpose(permutation=order), draft.at))
    draft.add(ops.MatMul(transpose_b=not turned), parts[0], parts[1])
    draft.add(ops.Softmax(), draft.at)
    draft.add(ops.MatMul(), draft.at, parts[2])
    draft.add(ops.Transpose(permutation=(0, 2, 1, 3)), draft.at)
    draft.add(ops.Reshape(shape=(1, steps, width)), draft.at)
    draft.add(ops.Add(), start, draft.at)


def transposed(draft: Draft) -> None:
    """Twice the size, of an image or a sequence; now and then the same size."""
    _, height, _, channels = draft.shape
    outputs, size = int(draft.one_of(1, 3, 2, 6, 4, 8, 12)), draft.one_of(2, 3, 4, 4)
    step = draft.one_of(2, 2, 2, 1)
    tall = height > 1
    names = draft.weights((outputs, size if tall else 1, size, channels), max(size * size * channels // 4, 1), outputs)
    pad = (size - step) // 2 if size > step else 0
    padding = (pad, pad, pad, pad) if tall else (0, 0, pad, pad)
    stride = (step if tall else 1, step)
    draft.add(ops.TransposeConv2D(stride=stride, padding=padding, activation=draft.one_of("none", "relu")), draft.at, *names)


def shifted(draft: Draft) -> None:
    """A constant for each element, or each channel, added or multiplied."""
    shape = draft.shape if draft.chance(0.6) else (1, 1, 1, draft.shape[3])
    kind: type[ops.Add | ops.Mul | ops.Sub] = draft.one_of(ops.Add, ops.Add, ops.Mul, ops.Sub)
    draft.add(kind(), draft.at, draft.constant(draft.rng.normal(size=shape)))
