"""Hypothesis strategies: random legal Graphs, integer and float, over all operators, and samples to feed them.

``integer_graphs()`` draws graphs that TensorFlow Lite Micro runs too; ``float_graphs()`` draws float32 graphs. Both take the
operators to draw from. A graph is an input and up to ``most_nodes`` operators, each applied to tensors that exist: so
there are residuals, branches, several outputs. The structure is drawn (and shrinks); weights come from a drawn seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import msgspec
import numpy as np
from hypothesis import strategies as st

from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Quantisation, Tensor
from marram.model.shapes import output_shapes

ACTIVATIONS = ("none", "none", "relu", "relu6", "relu_n1_to_1")
MOST_ELEMENTS = 4096


def affine(scale: float, zero_point: int = 0) -> Quantisation:
    """Quantisation by one float32 scale."""
    return Quantisation(scales=(float(np.float32(scale)),), zero_points=(zero_point,))


def samples(graph: Graph, count: int, *, seed: int) -> tuple[Array, ...]:
    """``count`` random samples for each input: all integers, or normal float32."""
    rng = np.random.default_rng(seed)
    shapes = [(count * tensor.shape[0], *tensor.shape[1:]) for tensor in graph.input_tensors]
    if graph.input_tensors[0].dtype == "int8":
        return tuple(rng.integers(-128, 128, shape).astype(np.int8) for shape in shapes)
    return tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)


class Draft:
    """A graph that grows: tensors so far, and the random numbers for weights."""

    def __init__(self, draw: st.DrawFn, *, integer: bool) -> None:
        self.draw = draw
        self.integer = integer
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Array] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def choice(self, values):
        return self.draw(st.sampled_from(list(values)))

    def quantisation(self, scale: float | None = None, *, spans: tuple[float, ...] = (2, 2, 2, 10)) -> Quantisation | None:
        """An activation's quantisation within 2**span of a scale, seldom far from it; None in a float graph."""
        if not self.integer:
            return None
        chosen = (
            10 ** self.rng.uniform(-3, 0) if scale is None else scale * 2.0 ** (self.choice(spans) * self.rng.uniform(-1, 1))
        )
        return affine(float(np.clip(chosen, 1e-6, 1e4)), self.choice([-128, 127, 0, *self.rng.integers(-110, 110, 5).tolist()]))

    def activation(self) -> str:
        return self.choice(ACTIVATIONS)

    def add_tensor(self, shape, quantisation: Quantisation | None) -> Tensor:
        name = f"t{len(self.tensors)}"
        dtype = "int8" if self.integer else "float32"
        self.tensors[name] = Tensor(name=name, shape=tuple(shape), dtype=dtype, quantisation=quantisation)
        return self.tensors[name]

    def add_input(self, shape) -> Tensor:
        tensor = self.add_tensor(shape, self.quantisation())
        self.inputs.append(tensor.name)
        return tensor

    def add_constant(self, value: Array, quantisation: Quantisation | None) -> Tensor:
        tensor = self.add_tensor(value.shape, quantisation)
        tensor = msgspec.structs.replace(tensor, dtype=value.dtype.name)
        self.tensors[tensor.name] = tensor
        self.constants[tensor.name] = value
        return tensor

    def apply(self, op, inputs: list[Tensor | None], quantisations: list[Quantisation | None]) -> list[Tensor]:
        """Adds a node; one output for each quantisation."""
        given = [() if tensor is None else tensor.shape for tensor in inputs]
        shapes = output_shapes(op, given)
        outputs = [self.add_tensor(s, q) for s, q in zip(shapes, quantisations, strict=True)]
        names = tuple("" if tensor is None else tensor.name for tensor in inputs)
        self.nodes.append(Node(name=f"n{len(self.nodes)}", op=op, inputs=names, outputs=tuple(o.name for o in outputs)))
        return outputs

    def layer(self, op, x: Tensor, weight_shape: tuple[int, ...], axis: int, depth: int) -> list[Tensor]:
        """A layer with weights, perhaps a bias, perhaps one scale for each channel."""
        channels = weight_shape[axis]
        if not self.integer:
            weights = (self.rng.normal(size=weight_shape) / math.sqrt(depth)).astype(np.float32)
            bias = self.rng.normal(size=channels).astype(np.float32)
            tensors = [self.add_constant(weights, None), self.add_constant(bias, None) if self.number(0, 1) else None]
            return self.apply(op, [x, *tensors], [None])
        per_channel = isinstance(op, ops.DepthwiseConv2D) or bool(self.number(0, 1))
        count = channels if per_channel else 1
        scales = np.float32(10 ** self.rng.uniform(-3, 0) * 2 ** self.rng.uniform(-2, 2, count))
        along = axis if per_channel else None
        zeros = (0,) * count
        weights = self.rng.integers(-127, 128, weight_shape).astype(np.int8)
        tensors = [self.add_constant(weights, Quantisation(scales=tuple(scales.tolist()), zero_points=zeros, axis=along)), None]
        if self.number(0, 1):
            bias = self.rng.integers(-3000, 3000, channels).astype(np.int32)
            bias_scales = (np.float32(x.quantisation.scale) * scales).tolist()
            along = 0 if per_channel else None
            tensors[1] = self.add_constant(bias, Quantisation(scales=tuple(bias_scales), zero_points=zeros, axis=along))
        typical = x.quantisation.scale * float(scales.mean()) * math.sqrt(depth) * 120
        return self.apply(op, [x, *tensors], [self.quantisation(typical)])

    def graph(self) -> Graph:
        """All tensors that nobody reads are outputs."""
        read = {name for node in self.nodes for name in node.inputs}
        outputs = tuple(name for node in self.nodes for name in node.outputs if name not in read)
        return Graph(
            name="drawn",
            inputs=tuple(self.inputs),
            outputs=outputs,
            tensors=self.tensors,
            constants=self.constants,
            nodes=tuple(self.nodes),
        )


Rule = Callable[[Draft, Tensor], list[Tensor] | None]


def _same(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TFLite's SAME padding along one axis."""
    total = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return total // 2, total - total // 2


def _window(d: Draft, x: Tensor, *, dilated: bool, explicit: bool) -> tuple[ops.Pair, ops.Pair, ops.Pair, ops.Padding] | None:
    """Kernel, stride, dilation and padding that fit an image."""
    kernel = (d.number(1, 4), d.number(1, 4))
    stride = (d.number(1, 3), d.number(1, 3))
    dilation = (d.number(1, 2), d.number(1, 2)) if dilated and stride == (1, 1) else (1, 1)
    _, height, width, _ = x.shape
    reach = [(k - 1) * e + 1 for k, e in zip(kernel, dilation, strict=True)]
    scheme = d.choice(["valid", "same", "explicit"] if explicit else ["valid", "same"])
    if scheme == "same":
        rows = _same(height, kernel[0], stride[0], dilation[0])
        return kernel, stride, dilation, (*rows, *_same(width, kernel[1], stride[1], dilation[1]))
    padding = tuple(d.number(0, min(2, k - 1)) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
    padding = padding if scheme == "explicit" else (0, 0, 0, 0)
    fits = height + sum(padding[:2]) >= reach[0] and width + sum(padding[2:]) >= reach[1]
    return (kernel, stride, dilation, padding) if fits else None


def _image(x: Tensor) -> bool:
    return len(x.shape) == 4


def _conv2d(d: Draft, x: Tensor) -> list[Tensor] | None:
    window = _window(d, x, dilated=True, explicit=True) if _image(x) else None
    if window is None:
        return None
    kernel, stride, dilation, padding = window
    groups = d.choice([g for g in (1, 1, 2, 3) if x.shape[3] % g == 0])
    depth = x.shape[3] // groups
    op = ops.Conv2D(stride=stride, dilation=dilation, padding=padding, groups=groups, activation=d.activation())
    shape = (groups * d.number(1, 4), *kernel, depth)
    return d.layer(op, x, shape, 0, math.prod(kernel) * depth)


def _depthwise(d: Draft, x: Tensor) -> list[Tensor] | None:
    window = _window(d, x, dilated=True, explicit=True) if _image(x) else None
    if window is None:
        return None
    kernel, stride, dilation, padding = window
    op = ops.DepthwiseConv2D(stride=stride, dilation=dilation, padding=padding, activation=d.activation())
    return d.layer(op, x, (1, *kernel, x.shape[3] * d.number(1, 3)), 3, math.prod(kernel))


def _transpose_conv2d(d: Draft, x: Tensor) -> list[Tensor] | None:
    if not _image(x) or x.size > 512:
        return None
    kernel, stride = (d.number(1, 4), d.number(1, 4)), (d.number(1, 3), d.number(1, 3))
    padding = (0, 0, 0, 0)
    if d.number(0, 1):  # SAME: the output is the input times the stride
        excess = [max(0, k - s) for k, s in zip(kernel, stride, strict=True)]
        padding = (excess[0] // 2, excess[0] - excess[0] // 2, excess[1] // 2, excess[1] - excess[1] // 2)
    op = ops.TransposeConv2D(stride=stride, padding=padding, activation="none")
    if min(output_shapes(op, [x.shape, (1, *kernel, x.shape[3])])[0]) < 1:
        return None
    return d.layer(op, x, (d.number(1, 5), *kernel, x.shape[3]), 0, math.prod(kernel) * x.shape[3])


def _dense(d: Draft, x: Tensor) -> list[Tensor] | None:
    if len(x.shape) not in {2, 3}:
        return None
    return d.layer(ops.Dense(activation=d.activation()), x, (d.number(1, 12), x.shape[-1]), 0, x.shape[-1])


def _matmul(d: Draft, x: Tensor) -> list[Tensor] | None:
    if len(x.shape) < 3:
        return None
    op = ops.MatMul(transpose_a=bool(d.number(0, 1)), transpose_b=bool(d.number(0, 1)))
    partners = [t for t in _activations(d) if t.shape[:-2] == x.shape[:-2] and _multiplies(op, x, t)]
    if not partners:
        op, partners = ops.MatMul(transpose_a=op.transpose_a, transpose_b=not op.transpose_a), [x]
    y = d.choice(partners)
    depth = x.shape[-2 if op.transpose_a else -1]
    scale = x.quantisation.scale * y.quantisation.scale * math.sqrt(depth) * 200 if d.integer else None
    return d.apply(op, [x, y], [d.quantisation(scale)])


def _multiplies(op: ops.MatMul, a: Tensor, b: Tensor) -> bool:
    return a.shape[-2 if op.transpose_a else -1] == b.shape[-1 if op.transpose_b else -2]


def _activations(d: Draft) -> list[Tensor]:
    return [tensor for tensor in d.tensors.values() if tensor.name not in d.constants]


def _binary(kind: type) -> Rule:
    def rule(d: Draft, x: Tensor) -> list[Tensor]:
        others = [t for t in _activations(d) if t.shape == x.shape]
        form = d.choice(["tensor", "channels", "whole"])
        if form == "tensor":
            other = d.choice(others)
        else:
            shape = x.shape if form == "whole" else (*(1,) * (len(x.shape) - 1), x.shape[-1])
            other = _any_constant(d, shape)
        pair = [x, other] if d.number(0, 1) else [other, x]
        if not d.integer:
            return d.apply(kind(activation=d.activation()), pair, [None])
        a, b = (t.quantisation.scale for t in pair)
        scale = a * b * 100 if kind is ops.Mul else a + b
        return d.apply(kind(activation=d.activation()), pair, [d.quantisation(scale)])

    return rule


def _any_constant(d: Draft, shape: tuple[int, ...]) -> Tensor:
    if d.integer:
        return d.add_constant(d.rng.integers(-128, 128, shape).astype(np.int8), d.quantisation())
    return d.add_constant(d.rng.normal(size=shape).astype(np.float32), None)


def _requantised(d: Draft, x: Tensor, quantisation: Quantisation | None) -> Tensor:
    """The tensor on another scale, by a node if need be."""
    if x.quantisation == quantisation:
        return x
    (out,) = d.apply(ops.Quantise(), [x], [quantisation])
    return out


def _concat(d: Draft, x: Tensor) -> list[Tensor] | None:
    if len(x.shape) < 2:
        return None
    axis = d.number(1, len(x.shape) - 1)
    rest = [size for place, size in enumerate(x.shape) if place != axis]
    others = [
        t for t in _activations(d) if len(t.shape) == len(x.shape) and [s for p, s in enumerate(t.shape) if p != axis] == rest
    ]
    chosen = [d.choice(others) for _ in range(d.number(1, 2))]
    parts = [x, *(_requantised(d, t, x.quantisation) for t in chosen)]
    return d.apply(ops.Concat(axis=axis), parts, [x.quantisation])


def _split(d: Draft, x: Tensor) -> list[Tensor] | None:
    axes = [axis for axis, size in enumerate(x.shape) if axis and size > 1]
    if not axes:
        return None
    axis = d.choice(axes)
    first = d.number(1, x.shape[axis] - 1)
    return d.apply(ops.Split(axis=axis, sizes=(first, x.shape[axis] - first)), [x], [x.quantisation] * 2)


def _slice(d: Draft, x: Tensor) -> list[Tensor]:
    begin, end, strides = [0], [x.shape[0]], [1]
    for size in x.shape[1:]:
        begin.append(d.number(0, size - 1))
        end.append(d.number(begin[-1] + 1, size))
        strides.append(d.number(1, 2))
    op = ops.Slice(begin=tuple(begin), end=tuple(end), strides=tuple(strides))
    return d.apply(op, [x], [x.quantisation])


def _pad(d: Draft, x: Tensor) -> list[Tensor]:
    paddings = ((0, 0), *((d.number(0, 2), d.number(0, 2)) for _ in x.shape[1:]))
    return d.apply(ops.Pad(paddings=paddings), [x], [x.quantisation])


def _reshape(d: Draft, x: Tensor) -> list[Tensor]:
    count = math.prod(x.shape[1:])
    divisors = [n for n in range(1, count + 1) if count % n == 0]
    first = d.choice(divisors)
    second = d.choice([n for n in divisors if (count // first) % n == 0])
    forms = [(count,), (first, count // first), (first, second, count // first // second)]
    return d.apply(ops.Reshape(shape=(x.shape[0], *d.choice(forms))), [x], [x.quantisation])


def _transpose(d: Draft, x: Tensor) -> list[Tensor]:
    order = d.draw(st.permutations(range(1, len(x.shape))))
    return d.apply(ops.Transpose(permutation=(0, *order)), [x], [x.quantisation])


def _pool(kind: type) -> Rule:
    def rule(d: Draft, x: Tensor) -> list[Tensor] | None:
        window = _window(d, x, dilated=False, explicit=False) if _image(x) else None
        if window is None:
            return None
        kernel, stride, _, padding = window
        return d.apply(kind(kernel=kernel, stride=stride, padding=padding, activation=d.activation()), [x], [x.quantisation])

    return rule


def _reduction(kind: type) -> Rule:
    def rule(d: Draft, x: Tensor) -> list[Tensor] | None:
        rank = len(x.shape)
        if rank < 2:
            return None
        choices = [(axis,) for axis in range(1, rank)] + ([(1, 2)] if rank == 4 else [])
        axes = d.choice(choices)
        scale = None
        if d.integer:
            scale = x.quantisation.scale * (1 if kind is ops.Mean else math.prod(x.shape[a] for a in axes))
        return d.apply(kind(axes=axes, keep_dims=bool(d.number(0, 1))), [x], [d.quantisation(scale)])

    return rule


def _unary(make: Callable[[Draft], object]) -> Rule:
    return lambda d, x: d.apply(make(d), [x], [d.quantisation(x.quantisation.scale if d.integer else None)])


def _relu6(d: Draft, x: Tensor) -> list[Tensor]:
    return d.apply(ops.Relu6(), [x], [x.quantisation])  # TFLM's kernel does not rescale


def _hard_swish(d: Draft, x: Tensor) -> list[Tensor]:
    scale = x.quantisation.scale * 0.26 if d.integer else None  # TFLM's kernel takes an output scale above 1/128 of the input's
    return d.apply(ops.HardSwish(), [x], [d.quantisation(scale, spans=(2,))])


def _fixed(make: Callable[[Draft], object], scale: float, zero_point: int) -> Rule:
    return lambda d, x: d.apply(make(d), [x], [affine(scale, zero_point) if d.integer else None])


def _resize(d: Draft, x: Tensor) -> list[Tensor] | None:
    if not _image(x):
        return None
    flags = d.choice([(False, False), (True, False), (False, True)])
    op = ops.Resize(
        size=(d.number(1, 9), d.number(1, 9)),
        method=d.choice(["nearest", "bilinear"]),
        align_corners=flags[0],
        half_pixel_centers=flags[1],
    )
    return d.apply(op, [x], [x.quantisation])


def _normalisation(kind: type) -> Rule:
    def rule(d: Draft, x: Tensor) -> list[Tensor]:
        count = 2 if kind is ops.LayerNorm else 4
        values = [d.rng.uniform(0.5, 2, x.shape[-1]).astype(np.float32) for _ in range(count)]
        constants = [d.add_constant(value, None) for value in values]
        return d.apply(kind(epsilon=1e-3), [x, *constants], [d.quantisation(0.02)])

    return rule


def _recurrent(kind: type, gates: int) -> Rule:
    def rule(d: Draft, x: Tensor) -> list[Tensor] | None:
        if len(x.shape) != 3:
            return None
        hidden = d.number(1, 4)
        shapes = [(gates * hidden, x.shape[2]), (gates * hidden, hidden), *[(gates * hidden,)] * (2 if kind is ops.Gru else 1)]
        constants = [d.add_constant((0.5 * d.rng.normal(size=s)).astype(np.float32), None) for s in shapes]
        outputs = [None] * (2 if kind is ops.Gru else 3)
        return d.apply(kind(hidden=hidden, reverse=bool(d.number(0, 1))), [x, *constants], outputs)

    return rule


RULES: dict[type, Rule] = {
    ops.Conv2D: _conv2d,
    ops.DepthwiseConv2D: _depthwise,
    ops.TransposeConv2D: _transpose_conv2d,
    ops.Dense: _dense,
    ops.MatMul: _matmul,
    ops.Add: _binary(ops.Add),
    ops.Sub: _binary(ops.Sub),
    ops.Mul: _binary(ops.Mul),
    ops.Concat: _concat,
    ops.Split: _split,
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Reshape: _reshape,
    ops.Transpose: _transpose,
    ops.AveragePool2D: _pool(ops.AveragePool2D),
    ops.MaxPool2D: _pool(ops.MaxPool2D),
    ops.Mean: _reduction(ops.Mean),
    ops.Sum: _reduction(ops.Sum),
    ops.Relu: _unary(lambda _: ops.Relu()),
    ops.Relu6: _relu6,
    ops.LeakyRelu: _unary(lambda d: ops.LeakyRelu(alpha=d.choice([0.0, 0.1, 0.25, 1.5, -0.5]))),
    ops.HardSwish: _hard_swish,
    ops.Sigmoid: _fixed(lambda _: ops.Sigmoid(), 1 / 256, -128),
    ops.Tanh: _fixed(lambda _: ops.Tanh(), 1 / 128, 0),
    ops.Gelu: _unary(lambda d: ops.Gelu(approximate=bool(d.number(0, 1)))),
    ops.Softmax: _fixed(lambda d: ops.Softmax(beta=d.choice([1.0, 0.5, 2.0])), 1 / 256, -128),
    ops.LayerNorm: _normalisation(ops.LayerNorm),
    ops.BatchNorm: _normalisation(ops.BatchNorm),
    ops.Resize: _resize,
    ops.Quantise: _unary(lambda _: ops.Quantise()),
    ops.Lstm: _recurrent(ops.Lstm, 4),
    ops.Gru: _recurrent(ops.Gru, 3),
}
"""How each operator is applied to a tensor; None where it cannot be."""

FLOAT_OPERATORS = frozenset(RULES) - {ops.Quantise}
INTEGER_OPERATORS = frozenset(RULES) - {ops.BatchNorm, ops.LayerNorm, ops.Lstm, ops.Gru}
TFLM_OPERATORS = INTEGER_OPERATORS - {ops.Gelu}
"""What an integer graph may hold for TFLM to run it."""


_IMAGE_ONLY = {ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv2D, ops.AveragePool2D, ops.MaxPool2D, ops.Resize}
_SEQUENCE_ONLY = {ops.Lstm, ops.Gru, ops.MatMul}
_OFTEN = {ops.Conv2D: 5, ops.DepthwiseConv2D: 3, ops.Dense: 4, ops.MatMul: 2, ops.TransposeConv2D: 2, ops.AveragePool2D: 2}
_ATTEMPTS = 4


def _shapes(operators: Collection[type]) -> st.SearchStrategy[tuple[int, ...]]:
    """Input shapes that the operators can take."""
    image = st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 6, 8]))
    sequence = st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 12))
    row = st.tuples(st.just(1), st.integers(1, 40))
    wanted = set(operators) - {ops.Quantise}
    if wanted <= _IMAGE_ONLY:
        return image
    return sequence if wanted <= _SEQUENCE_ONLY else st.one_of(image, image, sequence, row)


@st.composite
def graphs(draw: st.DrawFn, *, integer: bool, operators: Collection[type], most_nodes: int) -> Graph:
    """A random graph over the given operators, at least one node."""
    d = Draft(draw, integer=integer)
    d.add_input(draw(_shapes(operators)))
    kinds = [kind for kind in sorted(operators, key=lambda kind: kind.__name__) for _ in range(_OFTEN.get(kind, 1))]
    for _ in range(draw(st.integers(1, most_nodes))):
        x = d.choice(_activations(d)[-3:])
        attempts = (RULES[d.choice(kinds)](d, x) for _ in range(_ATTEMPTS))
        outputs = next((made for made in attempts if made is not None), None)
        if outputs is not None and max(tensor.size for tensor in outputs) > MOST_ELEMENTS:
            break
    if not d.nodes:
        _reshape(d, d.tensors[d.inputs[0]])
    return d.graph()


def integer_graphs(*, operators: Collection[type] = TFLM_OPERATORS, most_nodes: int = 6) -> st.SearchStrategy[Graph]:
    """Random int8 graphs, legal at the integer stage."""
    return graphs(integer=True, operators=operators, most_nodes=most_nodes)


def float_graphs(*, operators: Collection[type] = FLOAT_OPERATORS, most_nodes: int = 6) -> st.SearchStrategy[Graph]:
    """Random float32 graphs, legal at the float stage."""
    return graphs(integer=False, operators=operators, most_nodes=most_nodes)
