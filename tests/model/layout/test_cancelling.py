"""Transposes cancel, and what is computed stays the same: held against a small evaluator of its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.model.layout import cancel_transposes, channels_last_inputs, channels_last_outputs
from marram.model.layout.cancelling import settle
from marram.model.layout.permutations import channels_first, conversion, invert, keeps_order
from marram.model.layout.rules import regrouped
from marram.model.shapes import infer
from marram.model.spec import verify

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class Builder:
    """Writes a channels-first model as an importer would: transposes around every spatial operator."""

    def __init__(self, shape, seed=0):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants, self.shape = [], {}, shape
        self.count = 0

    def constant(self, *shape):
        name = f"c{len(self.constants)}"
        self.constants[name] = self.rng.normal(size=shape).astype(np.float32)
        return name

    def add(self, op, *inputs, outputs=1):
        self.count += 1
        names = tuple(f"t{self.count}" + (f"_{i}" if i else "") for i in range(outputs))
        self.nodes.append(Node(name=f"n{self.count}", op=op, inputs=inputs, outputs=names))
        return names[0] if outputs == 1 else names

    def conv(self, x, i, o, k=1, op=ops.Conv2D):
        pad = k // 2
        last = self.add(ops.Transpose(permutation=TO_LAST), x)
        y = self.add(op(padding=(pad,) * 4), last, self.constant(o, k, k, i), self.constant(o))
        return self.add(ops.Transpose(permutation=TO_FIRST), y)

    def graph(self, *outputs):
        tensors = {"x": Tensor(name="x", shape=self.shape)}
        bare = Graph(
            name="g", inputs=("x",), outputs=outputs, tensors=tensors, constants=self.constants, nodes=tuple(self.nodes)
        )
        return infer(bare)


def conv2d(op, x, w, b):
    top, bottom, left, right = op.padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[1:3], axis=(1, 2))
    return np.einsum("nhwcij,oijc->nhwo", windows, w) + b


def batch_norm(op, x, g, b, m, v):
    return (x - m) / np.sqrt(v + op.epsilon) * g + b


EVALUATE = {
    ops.Conv2D: conv2d,
    ops.Dense: lambda op, x, w, b: x @ w.T + b,
    ops.Relu: lambda op, x: np.maximum(x, 0),
    ops.Tanh: lambda op, x: np.tanh(x),
    ops.Add: lambda op, a, b: a + b,
    ops.Mul: lambda op, a, b: a * b,
    ops.Sub: lambda op, a, b: a - b,
    ops.Transpose: lambda op, x: x.transpose(op.permutation),
    ops.Reshape: lambda op, x: x.reshape(op.shape),
    ops.Concat: lambda op, *xs: np.concatenate(xs, op.axis),
    ops.Split: lambda op, x: np.split(x, np.cumsum(op.sizes)[:-1], op.axis),
    ops.Slice: lambda op, x: x[tuple(map(slice, op.begin, op.end, op.strides))],
    ops.Pad: lambda op, x: np.pad(x, op.paddings, constant_values=op.value),
    ops.Mean: lambda op, x: x.mean(op.axes, keepdims=op.keep_dims),
    ops.Sum: lambda op, x: x.sum(op.axes, keepdims=op.keep_dims),
    ops.Softmax: lambda op, x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    ops.MatMul: lambda op, a, b: a @ b,
    ops.BatchNorm: batch_norm,
}


def run(graph, x):
    values = {**graph.constants, graph.inputs[0]: x}
    for node in graph.nodes:
        result = EVALUATE[type(node.op)](node.op, *(values[n] for n in node.inputs if n))
        values.update(zip(node.outputs, result if isinstance(node.op, ops.Split) else [result], strict=True))
    return [values[name] for name in graph.outputs]


def turns(graph):
    return sum(isinstance(node.op, ops.Transpose) for node in graph.nodes)


def same(before, after, x=None):
    x = np.random.default_rng(1).normal(size=before.tensors["x"].shape).astype(np.float32) if x is None else x
    for a, b in zip(run(before, x), run(after, x), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    verify(after, "float")


def residual(shape=(1, 3, 6, 5)):
    b = Builder(shape)
    y = b.add(ops.Relu(), b.conv("x", 3, 4, 3))
    z = b.conv(b.add(ops.Relu(), b.conv(y, 4, 4, 3)), 4, 4)
    s = b.add(ops.Add(), z, y)
    bias = b.add(ops.Mul(), s, b.constant(1, 4, 1, 1))
    joined = b.add(ops.Concat(axis=1), bias, b.add(ops.Pad(paddings=((0, 0), (1, 0), (0, 0), (0, 0))), y))
    return b, joined


def test_a_residual_net_keeps_only_the_entry():
    b, y = residual()
    pooled = b.add(ops.Mean(axes=(2, 3)), y)
    graph = b.graph(b.add(ops.Dense(), pooled, b.constant(2, 9), b.constant(2)))
    after = cancel_transposes(graph)
    same(graph, after)
    assert turns(after) == 1
    last = channels_last_inputs(graph)
    assert turns(last) == 0
    assert last.tensors["x"].shape == (1, 6, 5, 3)
    x = np.random.default_rng(2).normal(size=(1, 3, 6, 5)).astype(np.float32)
    np.testing.assert_allclose(run(graph, x)[0], run(last, x.transpose(TO_LAST))[0], rtol=1e-4, atol=1e-5)


def test_a_flatten_is_folded_into_the_weights():
    b, y = residual()
    flat = b.add(ops.Relu(), b.add(ops.Reshape(shape=(1, 9 * 30)), y))
    one = b.add(ops.Dense(), flat, b.constant(3, 270), b.constant(3))
    two = b.add(ops.Dense(), flat, b.constant(2, 270), b.constant(2))
    graph = b.graph(one, two)
    after = cancel_transposes(graph)
    same(graph, after)
    assert turns(after) == 1


def test_an_unflatten_after_a_dense_is_folded_into_the_weights():
    b = Builder((1, 8))
    y = b.add(ops.Relu(), b.add(ops.Dense(), "x", b.constant(2 * 4 * 3, 8), b.constant(24)))
    graph = b.graph(b.conv(b.add(ops.Reshape(shape=(1, 2, 4, 3)), y), 2, 5, 3))
    after = channels_last_outputs(graph)
    assert turns(after) == 0
    x = np.random.default_rng(2).normal(size=(1, 8)).astype(np.float32)
    np.testing.assert_allclose(run(graph, x)[0].transpose(TO_LAST), run(after, x)[0], rtol=1e-4, atol=1e-5)


def test_sequences_go_through_the_added_axis():
    b = Builder((1, 3, 10))
    y = b.add(ops.Reshape(shape=(1, 3, 1, 10)), "x")
    y = b.conv(y, 3, 4)
    y = b.add(ops.Relu(), b.add(ops.Reshape(shape=(1, 4, 10)), y))
    y = b.conv(b.add(ops.Reshape(shape=(1, 4, 1, 10)), y), 4, 5)
    y = b.add(ops.Reshape(shape=(1, 5, 10)), y)
    graph = b.graph(b.add(ops.Mean(axes=(2,)), y))
    last = channels_last_inputs(graph)
    assert turns(last) == 0
    assert last.tensors["x"].shape == (1, 10, 3)
    x = np.random.default_rng(2).normal(size=(1, 3, 10)).astype(np.float32)
    np.testing.assert_allclose(run(graph, x)[0], run(last, x.transpose(0, 2, 1))[0], rtol=1e-4, atol=1e-5)


def test_image_patches_become_a_sequence_without_transposes():
    b = Builder((1, 3, 4, 4))
    y = b.conv("x", 3, 6)
    y = b.add(ops.Transpose(permutation=(0, 2, 1)), b.add(ops.Reshape(shape=(1, 6, 16)), y))
    graph = b.graph(b.add(ops.Softmax(), b.add(ops.Dense(), y, b.constant(5, 6), b.constant(5))))
    assert turns(channels_last_inputs(graph)) == 0
    same(graph, cancel_transposes(graph))


def test_quantised_weights_keep_their_scales_by_row():
    b = Builder((1, 8))
    y = b.add(ops.Dense(), "x", b.constant(6, 8), b.constant(6))
    graph = b.graph(b.add(ops.Transpose(permutation=TO_LAST), b.add(ops.Reshape(shape=(1, 2, 1, 3)), y)))
    scales = tuple(float(n) for n in range(1, 7))
    marked = replace(graph.tensors["c0"], quantisation=Quantisation(scales=scales, zero_points=(0,) * 6, axis=0))
    after = cancel_transposes(replace(graph, tensors={**graph.tensors, "c0": marked}))
    dense = next(n for n in after.nodes if isinstance(n.op, ops.Dense))
    order = [int(np.flatnonzero((graph.constants["c0"] == row).all(1))[0]) for row in after.constants[dense.inputs[1]]]
    assert order != sorted(order)
    assert after.tensors[dense.inputs[1]].quantisation.scales == tuple(scales[i] for i in order)


def norm(b, x, y, h, w):
    last = b.add(ops.Transpose(permutation=TO_LAST), x)
    b.constants[f"v{b.count}"] = np.ones(3, np.float32)
    normal = b.add(ops.BatchNorm(), last, *(b.constant(3) for _ in range(3)), f"v{b.count}")
    return b.add(ops.Transpose(permutation=TO_FIRST), normal)


def split(b, x, y, h, w):
    left, right = b.add(ops.Split(axis=1, sizes=(1, 2)), x, outputs=2)
    return b.add(ops.Concat(axis=1), right, left)


STEPS = {
    "point": lambda b, x, y, h, w: b.conv(x, 3, 3),
    "conv": lambda b, x, y, h, w: b.conv(x, 3, 3, 3),
    "relu": lambda b, x, y, h, w: b.add(ops.Relu(), x),
    "add": lambda b, x, y, h, w: b.add(ops.Add(), x, y),
    "vector": lambda b, x, y, h, w: b.add(ops.Mul(), b.constant(3, 1, 1), x),
    "scalar": lambda b, x, y, h, w: b.add(ops.Sub(), x, b.constant()),
    "concat": lambda b, x, y, h, w: b.add(
        ops.Slice(begin=(0, 1, 0, 0), end=(1, 6, h, w), strides=(1, 2, 1, 1)), b.add(ops.Concat(axis=1), x, y)
    ),
    "split": split,
    "norm": norm,
    "still": lambda b, x, y, h, w: b.add(ops.Transpose(permutation=(0, 1, 2, 3)), x),
    "keep": lambda b, x, y, h, w: b.add(ops.Add(), x, b.add(ops.Mean(axes=(1, 3), keep_dims=True), y)),
    "soft": lambda b, x, y, h, w: b.add(ops.Softmax(), b.add(ops.Tanh(), x)),
}


@st.composite
def models(draw):
    """Random channels-first models with residual edges and everything that a transpose may meet."""
    b = Builder((1, 3, draw(st.integers(2, 4)), draw(st.integers(1, 4))), seed=draw(st.integers(0, 99)))
    h, w = b.shape[2:]
    pool = ["x"]
    for _ in range(draw(st.integers(2, 9))):
        x, y = (pool[draw(st.integers(0, len(pool) - 1))] for _ in range(2))
        pool.append(STEPS[draw(st.sampled_from(sorted(STEPS)))](b, x, y, h, w))
    tail = draw(st.sampled_from(["mean", "flat", "none", "seq"]))
    outputs = [pool[-1]]
    if tail == "mean":
        outputs.append(b.add(ops.Mean(axes=draw(st.sampled_from([(2, 3), (1,), (2,), (1, 2)]))), pool[-1]))
    elif tail == "flat":
        flat = b.add(ops.Reshape(shape=(1, 3 * h * w)), pool[-1])
        outputs = [b.add(ops.Dense(), flat, b.constant(2, 3 * h * w), b.constant(2))]
    elif tail == "seq":
        rows = b.add(ops.Reshape(shape=(1, 3, h * w)), pool[-1])
        outputs = [b.add(ops.MatMul(), rows, b.add(ops.Transpose(permutation=(0, 2, 1)), rows))]
    return b.graph(*dict.fromkeys(outputs))


@settings(derandomize=True, max_examples=250, deadline=None)
@given(models())
def test_random_models_compute_the_same(graph):
    after = cancel_transposes(graph)
    assert turns(after) <= turns(graph)
    assert (after.inputs, after.outputs) == (graph.inputs, graph.outputs)
    same(graph, after)
    again = cancel_transposes(after)
    assert turns(again) <= turns(after)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(models())
def test_settling_channels_first_keeps_the_shapes_of_the_interface(graph):
    first = settle(graph, first=True)
    for name in (*graph.inputs, *graph.outputs):
        assert first.tensors[name].shape == graph.tensors[name].shape
    for node in first.nodes:
        if isinstance(node.op, ops.Conv2D):
            assert first.tensors[node.inputs[0]].shape[1] == first.constants[node.inputs[1]].shape[3]


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.permutations(range(4)), st.lists(st.integers(1, 3), min_size=4, max_size=4))
def test_permutations(order, shape):
    label = tuple(order)
    x = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(x.transpose(label).transpose(invert(label)), x)
    assert np.array_equal(x.transpose(label).transpose(conversion(label, (2, 0, 1, 3))), x.transpose(2, 0, 1, 3))
    if keeps_order(tuple(shape), label):
        assert np.array_equal(x.transpose(label).ravel(), x.ravel())


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.permutations(range(4)), st.lists(st.integers(1, 3), min_size=4, max_size=4), st.sampled_from([0, 1, 2]))
def test_regrouped_labels_move_no_element(order, shape, cut):
    label, shape = tuple(order), tuple(shape)
    target = (*shape[:cut], shape[cut] * shape[cut + 1], *shape[cut + 2 :])
    x = np.arange(np.prod(shape)).reshape(shape)
    found = regrouped(shape, target, label)
    if found is None:
        assert abs(label.index(cut) - label.index(cut + 1)) != 1 or label.index(cut) > label.index(cut + 1) or min(shape) == 1
    else:
        assert np.array_equal(x.transpose(label).ravel(), x.reshape(target).transpose(found).ravel())


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_channels_first_is_undone_by_its_inverse(rank):
    x = np.zeros(tuple(range(1, rank + 1)))
    assert x.transpose(channels_first(rank)).transpose(invert(channels_first(rank))).shape == x.shape
