"""Shape rules, held against torch where torch has the operator, and against hostile shapes."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Tensor
from marram.model import shapes
from marram.model.shapes import infer, output_shapes

SIZES = st.integers(1, 9)


def test_every_operator_has_a_rule():
    assert set(shapes._RULES) == set(get_args(ops.Operator))


@settings(derandomize=True, max_examples=150, deadline=None)
@given(h=SIZES, w=SIZES, k=st.integers(1, 4), s=st.integers(1, 3), d=st.integers(1, 2), p=st.integers(0, 3))
def test_convolution_agrees_with_torch(h, w, k, s, d, p):
    op = ops.Conv2D(stride=(s, s), dilation=(d, d), padding=(p, p, p, p))
    try:
        expected = torch.nn.functional.conv2d(torch.zeros(1, 2, h, w), torch.zeros(3, 2, k, k), stride=s, dilation=d, padding=p)
    except RuntimeError:
        with pytest.raises(UserError):
            output_shapes(op, [(1, h, w, 2), (3, k, k, 2)])
        return
    n, c, oh, ow = expected.shape
    assert output_shapes(op, [(1, h, w, 2), (3, k, k, 2), (3,)]) == ((n, oh, ow, c),)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(h=SIZES, w=SIZES, k=st.integers(1, 4), s=st.integers(1, 3), p=st.integers(0, 2), o=st.integers(0, 2))
def test_transposed_convolution_agrees_with_torch(h, w, k, s, p, o):
    op = ops.TransposeConv2D(stride=(s, s), padding=(p, p, p, p), output_padding=(o, o))
    try:
        expected = torch.nn.functional.conv_transpose2d(
            torch.zeros(1, 2, h, w), torch.zeros(2, 3, k, k), stride=s, padding=p, output_padding=o
        )
    except RuntimeError:
        with pytest.raises(UserError):
            output_shapes(op, [(1, h, w, 2), (3, k, k, 2)])
        return
    n, c, oh, ow = expected.shape
    assert output_shapes(op, [(1, h, w, 2), (3, k, k, 2)]) == ((n, oh, ow, c),)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(a=st.lists(st.integers(1, 3), max_size=4), b=st.lists(st.integers(1, 3), max_size=4))
def test_broadcasting_agrees_with_numpy(a, b):
    try:
        expected = np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        with pytest.raises(UserError):
            output_shapes(ops.Add(), [tuple(a), tuple(b)])
        return
    assert output_shapes(ops.Add(), [tuple(a), tuple(b)]) == (expected,)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(a=st.booleans(), b=st.booleans(), batch=st.lists(st.integers(1, 3), max_size=2))
def test_matrix_product_agrees_with_numpy(a, b, batch):
    left = np.zeros((*batch, 3, 2) if a else (*batch, 2, 3))
    right = np.zeros((5, 3) if b else (3, 5))
    product = np.matmul(left.swapaxes(-1, -2) if a else left, right.T if b else right)
    assert output_shapes(ops.MatMul(transpose_a=a, transpose_b=b), [left.shape, right.shape]) == (product.shape,)


@pytest.mark.parametrize(
    ("op", "inputs", "outputs"),
    [
        (ops.DepthwiseConv2D(padding=(1, 1, 1, 1), stride=(2, 2)), [(1, 8, 9, 3), (1, 3, 3, 6)], [(1, 4, 5, 6)]),
        (ops.Conv2D(groups=2), [(1, 4, 4, 6), (4, 1, 1, 3), (4,)], [(1, 4, 4, 4)]),
        (ops.Dense(), [(1, 7, 3), (5, 3), ()], [(1, 7, 5)]),
        (ops.Concat(axis=1), [(1, 2, 3), (1, 4, 3)], [(1, 6, 3)]),
        (ops.Split(axis=1, sizes=(1, 2)), [(1, 3)], [(1, 1), (1, 2)]),
        (ops.Slice(begin=(0, 1), end=(1, 9), strides=(1, 2)), [(1, 6)], [(1, 3)]),
        (ops.Pad(paddings=((0, 0), (1, 2))), [(1, 4)], [(1, 7)]),
        (ops.Transpose(permutation=(0, 3, 1, 2)), [(1, 2, 3, 4)], [(1, 4, 2, 3)]),
        (ops.Mean(axes=(1, 2)), [(1, 4, 5, 6)], [(1, 6)]),
        (ops.Sum(axes=(2,), keep_dims=True), [(1, 4, 5)], [(1, 4, 1)]),
        (ops.Resize(size=(7, 8), method="nearest"), [(1, 2, 3, 4)], [(1, 7, 8, 4)]),
        (ops.Lstm(hidden=3), [(1, 5, 2), (12, 2), (12, 3), (12,)], [(1, 5, 3), (1, 3), (1, 3)]),
        (ops.Gru(hidden=3), [(1, 5, 2), (9, 2), (9, 3), (), (9,)], [(1, 5, 3), (1, 3)]),
        (ops.MaxPool2D(kernel=(2, 2), stride=(2, 2), padding=(0, 1, 0, 1)), [(1, 5, 5, 2)], [(1, 3, 3, 2)]),
        (ops.LayerNorm(), [(1, 5, 4), (4,), (4,)], [(1, 5, 4)]),
    ],
)
def test_known_shapes(op, inputs, outputs):
    assert output_shapes(op, inputs) == tuple(outputs)


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        (ops.Conv2D(), [(1, 4, 4, 6)]),
        (ops.Conv2D(), [(1, 4, 4), (4, 1, 1, 3)]),
        (ops.Conv2D(stride=(0, 1)), [(1, 4, 4, 3), (4, 1, 1, 3)]),
        (ops.Conv2D(groups=4), [(1, 4, 4, 6), (4, 1, 1, 3)]),
        (ops.Conv2D(), [(1, 4, 4, 3), (4, 1, 1, 3), (5,)]),
        (ops.Reshape(shape=(1, -4)), [(1, 4)]),
        (ops.Reshape(shape=(2, 3)), [(1, 4)]),
        (ops.Concat(axis=-1), [(1, 4), (1, 4)]),
        (ops.Concat(axis=0), []),
        (ops.Transpose(permutation=(0, 0)), [(1, 4)]),
        (ops.Slice(begin=(0, 5), end=(1, 5), strides=(1, 1)), [(1, 6)]),
        (ops.Pad(paddings=((0, 2**40), (0, 0))), [(1, 4)]),
        (ops.Resize(size=(2**20, 2**20), method="nearest"), [(1, 2, 2, 4)]),
        (ops.Mean(axes=(4,)), [(1, 4)]),
        (ops.Softmax(), [()]),
        (ops.AveragePool2D(kernel=(2, 2), stride=(1, 1), padding=(2, 0, 0, 0)), [(1, 4, 4, 1)]),
    ],
)
def test_impossible_shapes_are_refused_by_name(op, inputs):
    with pytest.raises(UserError, match=ops.operator_name(op)):
        output_shapes(op, inputs)


def test_infer_repairs_shapes_and_keeps_the_rest():
    x, w = Tensor(name="x", shape=(1, 4)), Tensor(name="w", shape=(9, 9))
    y = Tensor(name="y", shape=(1,), dtype="int8")
    node = Node(name="fc", op=ops.Dense(), inputs=("x", "w", ""), outputs=("y",))
    weights = np.ones((2, 4), np.float32)
    graph = Graph(
        name="t", inputs=("x",), outputs=("y",), tensors={"x": x, "w": w, "y": y}, constants={"w": weights}, nodes=(node,)
    )
    fixed = infer(graph)
    assert fixed.tensors["w"].shape == (2, 4)
    assert fixed.tensors["y"].shape == (1, 2)
    assert fixed.tensors["y"].dtype == "int8"


def test_infer_names_the_node_that_reads_nothing():
    node = Node(name="lost", op=ops.Relu(), inputs=("nowhere",), outputs=("y",))
    graph = Graph(name="t", inputs=(), outputs=("y",), tensors={}, constants={}, nodes=(node,))
    with pytest.raises(UserError, match="lost"):
        infer(graph)
