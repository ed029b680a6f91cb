"""Integer layers against plain sums of Python-sized integers, at the edge of what floats hold exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.graphs import affine

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Array, Graph, Node, Quantisation, Tensor
from marram.model.reference import interpret, prepare, run
from marram.model.reference.arithmetic import multiplier, multiply
from marram.model.reference.linear import exact_dtype


def layer(
    op: ops.Operator, shape: tuple[int, ...], weights: Array, output: tuple[int, ...], *, zero_point: int, scale: float
) -> Graph:
    tensors = [
        Tensor(name="x", shape=shape, dtype="int8", quantisation=affine(1.0, zero_point)),
        Tensor(name="w", shape=weights.shape, dtype="int8", quantisation=affine(1.0)),
        Tensor(name="y", shape=output, dtype="int8", quantisation=affine(scale, 5)),
    ]
    node = Node(name="layer", op=op, inputs=("x", "w"), outputs=("y",))
    return Graph(
        name="g", inputs=("x",), outputs=("y",), tensors={t.name: t for t in tensors}, constants={"w": weights}, nodes=(node,)
    )


def requantised(sums: Array, scale: float) -> Array:
    return np.clip(multiply(sums, multiplier(1.0 / float(np.float32(scale)))) + 5, -128, 127).astype(np.int8)


def test_the_smallest_exact_float() -> None:
    assert exact_dtype(2**24 - 1) is np.float32
    assert exact_dtype(2**24) is np.float64
    assert exact_dtype(2**53) is None


@pytest.mark.parametrize("depth", [518, 519, 5000])
def test_dense_sums_beyond_24_bits_are_exact(depth: int) -> None:
    rng = np.random.default_rng(depth)
    weights = rng.choice(np.array([-127, 127], np.int8), (8, depth))
    weights[0] = 127
    x = rng.choice(np.array([-128, 127], np.int8), (20, depth))
    x[0] = 127
    scale = 1000.0 * depth / 500
    graph = layer(ops.Dense(), (1, depth), weights, (1, 8), zero_point=-128, scale=scale)
    sums = (x.astype(np.int64) + 128) @ weights.T.astype(np.int64)
    assert (np.abs(sums).max() >= 2**24) == (depth > 518)
    assert interpret(graph, x)[0].tobytes() == requantised(sums, scale).tobytes()


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    zero_point=st.integers(-128, 127),
)
def test_convolution_is_its_definition(groups, kernel, stride, dilation, padding, zero_point) -> None:
    rng = np.random.default_rng(0)
    op = ops.Conv2D(stride=stride, dilation=dilation, padding=padding, groups=groups)
    x = rng.integers(-128, 128, (2, 7, 8, 4)).astype(np.int8)
    weights = rng.integers(-127, 128, (8, *kernel, 4 // groups)).astype(np.int8)
    space = np.pad(x.astype(np.int64) - zero_point, ((0, 0), padding[:2], padding[2:], (0, 0)))
    sizes = [(space.shape[1 + a] - (kernel[a] - 1) * dilation[a] - 1) // stride[a] + 1 for a in (0, 1)]
    sums = np.zeros((2, *sizes, 8), np.int64)
    for row, column, channel in np.ndindex(*sizes, 8):
        group = channel // (8 // groups)
        top, left = row * stride[0], column * stride[1]
        window = space[
            :, top : top + kernel[0] * dilation[0] : dilation[0], left : left + kernel[1] * dilation[1] : dilation[1]
        ]
        part = window[..., group * 4 // groups : (group + 1) * 4 // groups][:, : kernel[0], : kernel[1]]
        sums[:, row, column, channel] = (part * weights[channel]).sum(axis=(1, 2, 3))
    graph = layer(op, (1, 7, 8, 4), weights, (1, *sizes, 8), zero_point=zero_point, scale=300.0)
    assert interpret(graph, x)[0].tobytes() == requantised(sums, 300.0).tobytes()


def test_asymmetric_weights_are_refused() -> None:
    weights = np.ones((1, 1), np.int8)
    graph = layer(ops.Dense(), (1, 1), weights, (1, 1), zero_point=0, scale=1.0)
    tensors = {**graph.tensors, "w": Tensor(name="w", shape=(1, 1), dtype="int8", quantisation=affine(1.0, 3))}
    graph = Graph(name="g", inputs=("x",), outputs=("y",), tensors=tensors, constants={"w": weights}, nodes=graph.nodes)
    with pytest.raises(UserError, match="weights w must have zero point 0"):
        prepare(graph)


def test_weights_computed_from_constants() -> None:
    x = np.array([[1.0, 2.0]], np.float32)
    quantisation = Quantisation(scales=(0.5, 0.25), zero_points=(0, 0), axis=0)
    tensors = [
        Tensor(name="x", shape=(1, 2)),
        Tensor(name="q", shape=(2, 2), dtype="int8", quantisation=quantisation),
        Tensor(name="w", shape=(2, 2)),
        Tensor(name="y", shape=(1, 2)),
    ]
    nodes = (
        Node(name="unpack", op=ops.Dequantise(), inputs=("q",), outputs=("w",)),
        Node(name="fc", op=ops.Dense(), inputs=("x", "w"), outputs=("y",)),
    )
    graph = Graph(
        name="g",
        inputs=("x",),
        outputs=("y",),
        tensors={t.name: t for t in tensors},
        constants={"q": np.array([[2, 4], [4, 8]], np.int8)},
        nodes=nodes,
    )
    prepared = prepare(graph)
    assert prepared.block > 1
    assert [step.node.name for step in prepared.steps] == ["fc"]
    assert run(prepared, np.concatenate([x, 2 * x]))[0].tolist() == [[5, 5], [10, 10]]
