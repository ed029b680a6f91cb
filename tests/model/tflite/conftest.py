"""Small graphs of every operator that TFLite can hold, float and int8, and runtimes to run files with."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.model.shapes import output_shapes
from marram.model.tflite.flatbuffer import encode
from marram.model.tflite.schema import DTYPES, OPERATORS

SAME_SCALE = (
    ops.Reshape,
    ops.Transpose,
    ops.AveragePool2D,
    ops.MaxPool2D,
    ops.Pad,
    ops.Slice,
    ops.Split,
    ops.Concat,
    ops.Resize,
)
FIXED = {ops.Softmax: (1 / 256, -128), ops.Sigmoid: (1 / 256, -128), ops.Tanh: (1 / 128, 0)}
X_SCALE, X_ZERO = 0.05, 3


class Sketch:
    """A graph as it is drawn: the same calls give a float or an int8 one."""

    def __init__(self, name, dtype, *shapes):
        self.name, self.integer = name, dtype == "int8"
        self.rng = np.random.default_rng(len(name))
        self.tensors, self.constants, self.nodes = {}, {}, []
        self.inputs = tuple(self._tensor(f"x{i}", shape, (X_SCALE, X_ZERO)) for i, shape in enumerate(shapes))

    def _tensor(self, name, shape, affine):
        quantisation = Quantisation(scales=(float(np.float32(affine[0])),), zero_points=(affine[1],)) if self.integer else None
        dtype = "int8" if self.integer else "float32"
        self.tensors[name] = Tensor(name=name, shape=shape, dtype=dtype, quantisation=quantisation)
        return name

    def constant(self, *shape, axis=None, of=X_SCALE):
        """Weights, per channel along ``axis`` in an integer graph."""
        name = f"w{len(self.constants)}"
        if not self.integer:
            value, quantisation = self.rng.normal(0, 0.5, shape).astype(np.float32), None
        else:
            value = self.rng.integers(-127, 128, shape).astype(np.int8)
            scales = [of] if axis is None else self.rng.uniform(0.002, 0.01, shape[axis])
            axis = axis if len(scales) > 1 else None
            scales = tuple(float(np.float32(scale)) for scale in scales)
            quantisation = Quantisation(scales=scales, zero_points=(0,) * len(scales), axis=axis)
        self.constants[name] = value
        self.tensors[name] = Tensor(name=name, shape=shape, dtype=value.dtype.name, quantisation=quantisation)
        return name

    def bias(self, x, weights, *, channel_axis=0):
        count = self.constants[weights].shape[channel_axis]
        name = f"b{len(self.constants)}"
        if not self.integer:
            value, quantisation = self.rng.normal(0, 0.5, count).astype(np.float32), None
        else:
            value = self.rng.integers(-2000, 2000, count).astype(np.int32)
            w = self.tensors[weights].quantisation
            scales = tuple(float(np.float32(self.tensors[x].quantisation.scale) * np.float32(scale)) for scale in w.scales)
            axis = 0 if len(scales) > 1 else None
            quantisation = Quantisation(scales=scales, zero_points=(0,) * len(scales), axis=axis)
        self.constants[name] = value
        self.tensors[name] = Tensor(name=name, shape=(count,), dtype=value.dtype.name, quantisation=quantisation)
        return name

    def add(self, op, *inputs, affine=(0.1, -5)):
        shapes = output_shapes(op, [self.tensors[name].shape if name else () for name in inputs])
        if isinstance(op, SAME_SCALE) and self.integer:
            q = self.tensors[inputs[0]].quantisation
            affine = (q.scale, q.zero_point)
        affine = FIXED.get(type(op), affine)
        names = tuple(f"t{len(self.nodes)}_{i}" if i else f"t{len(self.nodes)}" for i in range(len(shapes)))
        for name, shape in zip(names, shapes, strict=True):
            self._tensor(name, shape, affine)
        self.nodes.append(Node(name=f"n{len(self.nodes)}", op=op, inputs=inputs, outputs=names))
        return names if len(names) > 1 else names[0]

    def graph(self, *outputs):
        return Graph(
            name=self.name,
            inputs=self.inputs,
            outputs=outputs,
            tensors=self.tensors,
            constants=self.constants,
            nodes=tuple(self.nodes),
        )


def layer(op, x, weights, *, axis=0, bias=True):
    """A drawing of one layer with weights."""

    def draw(name, dtype):
        sketch = Sketch(name, dtype, x)
        w = sketch.constant(*weights, axis=axis)
        return sketch.graph(sketch.add(op, "x0", w, sketch.bias("x0", w, channel_axis=axis or 0) if bias else ""))

    return draw


def chain(op, *shapes, affine=(0.1, -5)):
    """A drawing of one operator on activations."""

    def draw(name, dtype):
        sketch = Sketch(name, dtype, *shapes)
        outputs = sketch.add(op, *sketch.inputs, affine=affine)
        return sketch.graph(*((outputs,) if isinstance(outputs, str) else outputs))

    return draw


def with_constant(op, x, other):
    def draw(name, dtype):
        sketch = Sketch(name, dtype, x)
        return sketch.graph(sketch.add(op, "x0", sketch.constant(*other)))

    return draw


def layer_norm(name, dtype):
    sketch = Sketch(name, dtype, (1, 5, 8))
    gamma, beta = sketch.constant(8), sketch.constant(8)
    normal = sketch.add(ops.LayerNorm(epsilon=2**-10), "x0", gamma, beta)
    return sketch.graph(sketch.add(ops.Relu(), normal))


def network(name, dtype):
    """A residual net with what most nets have."""
    sketch = Sketch(name, dtype, (1, 9, 9, 3))
    w = sketch.constant(8, 3, 3, 3, axis=0)
    a = sketch.add(ops.Conv2D(stride=(2, 2), padding=(1, 1, 1, 1), activation="relu"), "x0", w, sketch.bias("x0", w))
    w = sketch.constant(1, 3, 3, 8, axis=3)
    bias = sketch.bias(a, w, channel_axis=3)
    b = sketch.add(ops.DepthwiseConv2D(padding=(1, 1, 1, 1), activation="relu6"), a, w, bias)
    c = sketch.add(ops.Add(activation="relu"), a, b)
    d = sketch.add(ops.Reshape(shape=(1, 8)), sketch.add(ops.Mean(axes=(1, 2)), c))
    w = sketch.constant(4, 8)
    return sketch.graph(sketch.add(ops.Softmax(), sketch.add(ops.Dense(), d, w, sketch.bias(d, w))))


IMAGE, SERIES, ROW = (1, 7, 6, 4), (1, 5, 8), (1, 8)
BOTH = {
    "conv": layer(ops.Conv2D(activation="relu"), IMAGE, (5, 3, 3, 4)),
    "conv_same": layer(ops.Conv2D(stride=(2, 2), padding=(1, 1, 0, 1)), IMAGE, (5, 3, 3, 4)),
    "conv_explicit": layer(ops.Conv2D(stride=(2, 2), padding=(2, 1, 1, 1)), IMAGE, (5, 3, 3, 4)),
    "conv_dilated": layer(ops.Conv2D(dilation=(2, 2), padding=(2, 2, 2, 2)), IMAGE, (5, 3, 3, 4)),
    "conv_row": layer(ops.Conv2D(padding=(0, 0, 1, 1)), (1, 1, 9, 4), (3, 1, 3, 4)),
    "conv_grouped": layer(ops.Conv2D(groups=2), IMAGE, (6, 3, 3, 2)),
    "conv_one_channel": layer(ops.Conv2D(), IMAGE, (1, 1, 1, 4)),
    "conv_no_bias": layer(ops.Conv2D(), IMAGE, (5, 3, 3, 4), bias=False),
    "depthwise": layer(ops.DepthwiseConv2D(padding=(1, 1, 1, 1), activation="relu6"), IMAGE, (1, 3, 3, 4), axis=3),
    "depthwise_no_bias": layer(ops.DepthwiseConv2D(dilation=(2, 1)), IMAGE, (1, 3, 3, 4), axis=3, bias=False),
    "depthwise_multiplied": layer(ops.DepthwiseConv2D(stride=(2, 2)), IMAGE, (1, 3, 3, 8), axis=3),
    "depthwise_explicit": layer(ops.DepthwiseConv2D(stride=(2, 2), padding=(1, 2, 1, 0)), IMAGE, (1, 3, 3, 4), axis=3),
    "transposed": layer(ops.TransposeConv2D(stride=(2, 2)), IMAGE, (3, 3, 3, 4)),
    "transposed_no_bias": layer(ops.TransposeConv2D(stride=(1, 2)), IMAGE, (3, 3, 3, 4), bias=False),
    "transposed_same": layer(ops.TransposeConv2D(stride=(2, 2), padding=(0, 1, 0, 1)), IMAGE, (3, 3, 3, 4)),
    "transposed_cut": layer(ops.TransposeConv2D(stride=(2, 2), padding=(1, 1, 1, 1)), IMAGE, (3, 3, 3, 4)),
    "transposed_more": layer(
        ops.TransposeConv2D(stride=(2, 2), padding=(1, 1, 1, 1), output_padding=(1, 1), activation="relu"), IMAGE, (3, 3, 3, 4)
    ),
    "dense": layer(ops.Dense(activation="relu"), ROW, (5, 8), axis=None),
    "dense_per_channel": layer(ops.Dense(), ROW, (5, 8), axis=0),
    "dense_series": layer(ops.Dense(), SERIES, (3, 8), axis=None),
    "dense_no_bias": layer(ops.Dense(), ROW, (5, 8), axis=None, bias=False),
    "matmul": chain(ops.MatMul(), (1, 5, 6), (1, 6, 4), affine=(0.2, 4)),
    "matmul_b": chain(ops.MatMul(transpose_b=True), (1, 2, 5, 6), (1, 2, 4, 6), affine=(0.2, 4)),
    "add": chain(ops.Add(activation="relu"), IMAGE, IMAGE),
    "add_broadcast": with_constant(ops.Add(), IMAGE, (4,)),
    "sub": chain(ops.Sub(), IMAGE, IMAGE),
    "mul": chain(ops.Mul(), IMAGE, IMAGE),
    "mul_broadcast": with_constant(ops.Mul(activation="relu6"), IMAGE, (4,)),
    "concat": chain(ops.Concat(axis=3), IMAGE, IMAGE, IMAGE),
    "split": chain(ops.Split(axis=3, sizes=(2, 2)), IMAGE),
    "split_uneven": chain(ops.Split(axis=1, sizes=(1, 4, 2)), IMAGE),
    "slice": chain(ops.Slice(begin=(0, 1, 0, 2), end=(1, 6, 6, 4), strides=(1, 1, 1, 1)), IMAGE),
    "slice_strided": chain(ops.Slice(begin=(0, 1, 0, 0), end=(1, 7, 6, 4), strides=(1, 2, 3, 1)), IMAGE),
    "pad": chain(ops.Pad(paddings=((0, 0), (1, 2), (0, 3), (0, 0))), IMAGE),
    "pad_value": chain(ops.Pad(paddings=((0, 0), (1, 2), (0, 3), (0, 0)), value=1.5), IMAGE),
    "reshape": chain(ops.Reshape(shape=(1, 42, 4)), IMAGE),
    "transpose": chain(ops.Transpose(permutation=(0, 2, 1, 3)), IMAGE),
    "average_pool": chain(ops.AveragePool2D(kernel=(2, 3), stride=(2, 1)), IMAGE),
    "average_pool_same": chain(ops.AveragePool2D(kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1), activation="relu"), IMAGE),
    "max_pool": chain(ops.MaxPool2D(kernel=(2, 2), stride=(2, 2), activation="relu6"), IMAGE),
    "max_pool_explicit": chain(ops.MaxPool2D(kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 0)), IMAGE),
    "mean": chain(ops.Mean(axes=(1, 2)), IMAGE),
    "mean_kept": chain(ops.Mean(axes=(1, 2), keep_dims=True), IMAGE),
    "sum": chain(ops.Sum(axes=(1,)), IMAGE, affine=(0.3, 0)),
    "relu": chain(ops.Relu(), IMAGE),
    "relu6": chain(ops.Relu6(), IMAGE),
    "leaky_relu": chain(ops.LeakyRelu(alpha=0.25), IMAGE),
    "hard_swish": chain(ops.HardSwish(), IMAGE),
    "sigmoid": chain(ops.Sigmoid(), IMAGE),
    "tanh": chain(ops.Tanh(), IMAGE),
    "softmax": chain(ops.Softmax(beta=0.5), ROW),
    "resize_nearest": chain(ops.Resize(size=(14, 12), method="nearest"), IMAGE),
    "resize_nearest_half": chain(ops.Resize(size=(10, 5), method="nearest", half_pixel_centers=True), IMAGE),
    "resize_bilinear": chain(ops.Resize(size=(14, 9), method="bilinear", half_pixel_centers=True), IMAGE),
    "resize_bilinear_aligned": chain(ops.Resize(size=(13, 9), method="bilinear", align_corners=True), IMAGE),
    "network": network,
}
FLOAT_ONLY = {
    "gelu": chain(ops.Gelu(), IMAGE),
    "gelu_tanh": chain(ops.Gelu(approximate=True), IMAGE),
    "layer_norm": layer_norm,
    "matmul_a": chain(ops.MatMul(transpose_a=True), (1, 6, 5), (1, 6, 4)),
}
SAMPLES = [(name, dtype) for name in BOTH for dtype in ("float32", "int8")] + [(name, "float32") for name in FLOAT_ONLY]


def drawn(name, dtype):
    return {**BOTH, **FLOAT_ONLY}[name](name, dtype)


@pytest.fixture(params=SAMPLES, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def sample(request):
    """A small graph: every operator, float and int8."""
    return drawn(*request.param)


@pytest.fixture(params=[name for name, dtype in SAMPLES if dtype == "int8"])
def integer_sample(request):
    return drawn(request.param, "int8")


@pytest.fixture(scope="session")
def draw():
    """Draws a named sample."""
    return drawn


@pytest.fixture(scope="session")
def sketch():
    """The drawing board for other graphs."""
    return Sketch


CODES = {name: code for code, name in DTYPES.items()}


def assembled(tensors, operators, inputs, outputs):
    """The bytes of a file.

    Tensors by name as (shape, dtype, value, extra fields); operators as ((name, version), inputs, outputs, options).
    """
    places = {name: i for i, name in enumerate(tensors)}
    buffers, tables = [{}], []
    for name, (shape, dtype, value, extra) in tensors.items():
        tables.append({"shape": np.array(shape), "type": CODES[dtype], "name": name, "buffer": 0, **extra})
        if value is not None:
            tables[-1]["buffer"] = len(buffers)
            buffers.append({"data": np.frombuffer(value.tobytes(), np.uint8)})
    steps = [
        {
            "opcode_index": i,
            "inputs": np.array([places[name] if name else -1 for name in reads]),
            "outputs": np.array([places[name] for name in writes]),
            "builtin_options": options,
        }
        for i, (_, reads, writes, options) in enumerate(operators)
    ]
    given, wanted = ([{"name": name, "tensor_index": places[name]} for name in names] for names in (inputs, outputs))
    main = {
        "tensors": tables,
        "inputs": np.array([places[name] for name in inputs]),
        "outputs": np.array([places[name] for name in outputs]),
        "operators": steps,
        "name": "main",
    }
    codes = [(OPERATORS.index(name), version) for (name, version), *_ in operators]
    return encode(
        {
            "version": 3,
            "operator_codes": [
                {"builtin_code": code, "deprecated_builtin_code": min(code, 127), "version": version} for code, version in codes
            ],
            "subgraphs": [main],
            "buffers": buffers,
            "signature_defs": [{"inputs": given, "outputs": wanted, "signature_key": "serving_default"}],
        }
    )


@pytest.fixture(scope="session")
def assemble():
    """Makes a file from tensors and operators, sound or not."""
    return assembled


@pytest.fixture(scope="session")
def random_inputs():
    """Random inputs of a graph, by a seed."""

    def make(graph, seed):
        rng = np.random.default_rng(seed)
        return [
            rng.integers(-128, 128, tensor.shape).astype(np.int8)
            if tensor.dtype == "int8"
            else rng.normal(0, 2, tensor.shape).astype(np.float32)
            for tensor in graph.input_tensors
        ]

    return make


@pytest.fixture(scope="session")
def litert():
    """Runs a file in LiteRT, XNNPACK included, through its signature; outputs in the order of the names given."""

    def run(data, graph, inputs):
        from ai_edge_litert.interpreter import Interpreter

        signature = Interpreter(model_content=data, num_threads=1).get_signature_runner("serving_default")
        outputs = signature(**dict(zip(graph.inputs, inputs, strict=True)))
        return [outputs[name] for name in graph.outputs]

    return run


@pytest.fixture(scope="session")
def tflm():
    """Runs a file in TensorFlow Lite for Microcontrollers."""

    def run(data, inputs, outputs=1):
        from tflite_micro import runtime

        interpreter = runtime.Interpreter.from_bytes(data)
        for i, value in enumerate(inputs):
            interpreter.set_input(value, i)
        interpreter.invoke()
        return [interpreter.get_output(i).copy() for i in range(outputs)]

    return run


@pytest.fixture(scope="session")
def mlperf(shared_data):
    """The files of MLPerf Tiny by name; none on a machine without them."""
    folder = shared_data / "mlperf_tiny" if shared_data else None
    return {path.name: path for path in sorted(folder.glob("*.tflite"))} if folder and folder.is_dir() else {}
