"""Equalisation: the function stays, the ranges meet, and unequal channels quantise better."""

from __future__ import annotations

import numpy as np
import pytest

from marram.compress import equalise, quantise
from marram.compress.rewrites.equalisation import pairs
from marram.core import operators as ops
from marram.model.reference import interpret

WINDOW = ops.Conv2D(padding=(1, 1, 1, 1), activation="relu")


def uneven(sketch, *shape, axis=0):
    """Weights whose output channels differ in size by powers of ten."""
    sizes = [1] * len(shape)
    sizes[axis] = shape[axis]
    return sketch.normal(*shape) * np.logspace(-2, 1, shape[axis]).reshape(sizes).astype(np.float32)


def chain(sketch, second, *, between=()):
    y = sketch(WINDOW, sketch.input(1, 6, 6, 3), uneven(sketch, 8, 3, 3, 3), sketch.normal(8, scale=0.01))
    for op in between:
        y = sketch(op, y)
    width = sketch.shape(y)[-1]
    shape = {ops.Conv2D: (4, 1, 1, width), ops.DepthwiseConv2D: (1, 3, 3, 2 * width), ops.TransposeConv2D: (4, 2, 2, width)}
    y = sketch(second, y, sketch.normal(*shape.get(type(second), (4, width))), "")
    return sketch.graph(y)


SECONDS = [ops.Conv2D(), ops.DepthwiseConv2D(), ops.TransposeConv2D(stride=(2, 2)), ops.Dense()]


@pytest.mark.parametrize("second", SECONDS, ids=lambda op: type(op).__name__)
def test_the_function_stays_and_the_ranges_meet(sketch, assert_same_function, second):
    graph = chain(sketch, second)
    (pair,) = pairs(graph)
    equal = equalise(graph)
    assert_same_function(graph, equal)
    first, last = equal.nodes
    r1 = np.abs(equal.constants[first.inputs[1]]).max(axis=(1, 2, 3))
    r1 = np.maximum(r1, np.abs(equal.constants[first.inputs[2]]))
    weights = np.abs(equal.constants[last.inputs[1]]).reshape(-1, 16 if isinstance(second, ops.DepthwiseConv2D) else 8)
    np.testing.assert_allclose(r1, weights.max(axis=0).reshape(8, -1).max(axis=1), rtol=1e-3)
    assert pair.copies == 1


@pytest.mark.parametrize(
    ("between", "copies"),
    [
        ([ops.MaxPool2D(kernel=(2, 2), stride=(2, 2))], 1),
        ([ops.AveragePool2D(kernel=(2, 2), stride=(2, 2)), ops.LeakyRelu(alpha=0.1)], 1),
        ([ops.Mean(axes=(1, 2))], 1),
        ([ops.MaxPool2D(kernel=(3, 3), stride=(3, 3)), ops.Reshape(shape=(1, 32))], 4),
    ],
)
def test_homogeneous_operators_may_stand_between(sketch, assert_same_function, between, copies):
    graph = chain(sketch, ops.Dense(), between=between)
    (pair,) = pairs(graph)
    assert pair.copies == copies
    equal = equalise(graph)
    assert equal.constants != graph.constants
    assert_same_function(graph, equal)


def test_grouped_convolutions_and_chains_of_three(sketch, assert_same_function):
    y = sketch(WINDOW, sketch.input(1, 6, 6, 3), uneven(sketch, 8, 3, 3, 3), sketch.normal(8))
    y = sketch(ops.DepthwiseConv2D(activation="relu"), y, uneven(sketch, 1, 3, 3, 8, axis=3), sketch.normal(8))
    y = sketch(ops.Conv2D(groups=2, activation="relu"), y, uneven(sketch, 6, 1, 1, 4), sketch.normal(6))
    y = sketch(ops.Conv2D(groups=3), y, uneven(sketch, 6, 1, 1, 2), "")
    graph = sketch.graph(y)
    assert len(pairs(graph)) == 3
    assert_same_function(graph, equalise(graph))


@pytest.mark.parametrize("op", [ops.Relu6(), ops.HardSwish(), ops.Tanh(), ops.Softmax()])
def test_others_break_the_pair(sketch, op):
    assert pairs(chain(sketch, ops.Conv2D(), between=[op])) == ()


def test_a_second_reader_breaks_the_pair(sketch):
    y = sketch(WINDOW, sketch.input(1, 6, 6, 3), sketch.normal(8, 3, 3, 3), "")
    z = sketch(ops.Conv2D(), y, sketch.normal(8, 1, 1, 8), "")
    graph = sketch.graph(sketch(ops.Add(), y, z))
    assert pairs(graph) == ()
    assert equalise(graph) is graph


def test_dead_channels_stay_finite(sketch, assert_same_function):
    graph = chain(sketch, ops.Conv2D())
    graph.constants["c0"][2] = 0
    graph.constants["c1"][2] = 0
    graph.constants["c2"][..., 3] = 0
    equal = equalise(graph)
    assert all(np.isfinite(value).all() for value in equal.constants.values())
    assert_same_function(graph, equal)


def test_unequal_channels_quantise_better(sketch, samples_of):
    y = sketch(WINDOW, sketch.input(1, 6, 6, 3), uneven(sketch, 8, 3, 3, 3), "")
    weights = sketch.normal(4, 1, 1, 8) / np.logspace(-2, 1, 8).astype(np.float32)
    graph = sketch.graph(sketch(ops.Conv2D(), y, weights, ""))
    samples = samples_of(graph, 50)["x0"]
    (exact,) = interpret(graph, samples)

    def noise(float_graph):
        whole = quantise(float_graph, samples)
        q, out = whole.input_tensors[0].quantisation, whole.output_tensors[0].quantisation
        (y,) = interpret(whole, (np.round(samples / q.scale) + q.zero_point).clip(-128, 127).astype(np.int8))
        return (((y.astype(float) - out.zero_point) * out.scale - exact) ** 2).mean()

    assert noise(equalise(graph)) < noise(graph) / 10
