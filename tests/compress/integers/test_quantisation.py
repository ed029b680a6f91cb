"""Quantisation: integer graphs are legal, near the float ones, and sound in the corners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.compress import calibrate, fold, quantise, quantise_by_ranges
from marram.compress.integers.grid import affine, bias_scales, coarsened, span, symmetric_weights, to_integers, to_reals
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Quantisation
from marram.model.reference import interpret
from marram.model.spec import verify

CONV = ops.Conv2D(padding=(1, 1, 1, 1), activation="relu")
EXTREMES = st.floats(-(2.0**100), 2.0**100, width=32)


def real_outputs(graph, samples):
    """Outputs of an integer graph for float samples, as real numbers."""
    (source,) = graph.input_tensors
    whole = interpret(graph, to_integers(samples, source.quantisation))
    return [to_reals(array, tensor.quantisation) for array, tensor in zip(whole, graph.output_tensors, strict=True)]


def noise_db(graph, whole, samples):
    exact = interpret(graph, samples)
    pairs = zip(exact, real_outputs(whole, samples), strict=True)
    return min(10 * np.log10((a.astype(float) ** 2).mean() / max(((a - b) ** 2).mean(), 1e-30)) for a, b in pairs)


@settings(derandomize=True, deadline=None)
@given(EXTREMES, EXTREMES)
def test_a_grid_holds_zero_exactly_and_spans_its_range(a, b):
    low, high = min(a, b), max(a, b)
    q = affine(low, high)
    assert q.scale == float(np.float32(q.scale)) > 0
    assert -128 <= q.zero_point <= 127
    assert to_reals(to_integers(np.zeros(1), q), q) == 0
    bottom, top = span(q)
    assert bottom <= min(low, 0) + q.scale * 0.51
    assert top >= max(high, 0) - q.scale * 0.51


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20))
def test_values_inside_the_range_move_by_half_a_step_at_most(values):
    array = np.array(values, np.float32)
    q = affine(float(array.min()), float(array.max()))
    error = np.abs(to_reals(to_integers(array, q), q) - array)
    assert error.max() <= q.scale * 1.02


def test_weights_are_symmetric_by_channel():
    weights = np.array([[1, -2, 0.5], [0, 0, 0], [1e-30, 0, 0]], np.float32)
    q = symmetric_weights(weights, None, axis=0, input_scale=0.1, output_scale=0.1)
    whole = to_integers(weights, q, most=127)
    assert whole[0].tolist() == [64, -127, 32]
    assert not whole[1:].any()
    assert q.zero_points == (0, 0, 0)
    assert min(q.scales) > 0
    assert symmetric_weights(weights, None, axis=None, input_scale=0.1).scales == (np.float32(2 / 127),)


def test_a_bias_always_fits():
    weights, bias = np.array([[1e-12], [1.0]], np.float32), np.array([5.0, 5.0], np.float32)
    q = symmetric_weights(weights, bias, axis=0, input_scale=1e-3)
    whole = to_integers(bias, bias_scales(1e-3, q), dtype="int32")
    assert np.abs(whole.astype(np.int64)).max() <= 2**30
    assert to_reals(whole, bias_scales(1e-3, q)) == pytest.approx([5.0, 5.0], rel=1e-6)


def test_coarsened_keeps_what_is_coarse_enough():
    q = affine(-1, 1)
    assert coarsened(q, q.scale / 2) is q
    assert coarsened(q, 2 * q.scale) == Quantisation(scales=(2 * q.scale,), zero_points=q.zero_points)


def image_net(sketch, shape=(1, 8, 8, 3)):
    x = sketch.input(*shape)
    y = sketch(CONV, x, sketch.normal(8, 3, 3, shape[-1], scale=0.3), sketch.normal(8))
    z = sketch(ops.DepthwiseConv2D(padding=(1, 1, 1, 1)), y, sketch.normal(1, 3, 3, 8, scale=0.3), sketch.normal(8))
    y = sketch(ops.Relu(), sketch(ops.Add(), y, z))
    y = sketch(ops.MaxPool2D(kernel=(2, 2), stride=(2, 2)), y)
    y = sketch(ops.Mean(axes=(1, 2)), y)
    return sketch(ops.Dense(), y, sketch.normal(5, 8), sketch.normal(5))


def test_an_image_net(sketch, samples_of):
    graph = sketch.graph(image_net(sketch))
    samples = samples_of(graph, 50)["x0"]
    whole = quantise(graph, samples)
    verify(whole, "integer")
    assert (whole.inputs, whole.outputs) == (graph.inputs, graph.outputs)
    assert {t.dtype for t in (*whole.input_tensors, *whole.output_tensors)} == {"int8"}
    assert noise_db(graph, whole, samples) > 30
    assert [node.name for node in whole.nodes] == [node.name for node in fold(graph).nodes]


@pytest.mark.parametrize("method", ["min_max", "percentile", "mse", "entropy"])
def test_every_method_gives_a_near_graph(sketch, samples_of, method):
    graph = sketch.graph(image_net(sketch))
    samples = samples_of(graph, 200)["x0"]
    # Entropy keeps the shape of a distribution rather than its values, so its noise is larger.
    assert noise_db(graph, quantise(graph, samples, method=method), samples) > (12 if method == "entropy" else 25)


UNARY = [
    ops.Relu(),
    ops.Relu6(),
    ops.LeakyRelu(alpha=0.1),
    ops.HardSwish(),
    ops.Sigmoid(),
    ops.Tanh(),
    ops.Gelu(),
    ops.Softmax(),
    ops.Mean(axes=(1, 2)),
    ops.Sum(axes=(1, 2)),
    ops.Reshape(shape=(1, 16, 4)),
    ops.Transpose(permutation=(0, 3, 1, 2)),
    ops.AveragePool2D(kernel=(2, 2), stride=(2, 2)),
    ops.MaxPool2D(kernel=(2, 2), stride=(2, 2)),
    ops.Pad(paddings=((0, 0), (1, 1), (1, 1), (0, 0)), value=-9.0),
    ops.Slice(begin=(0, 1, 0, 0), end=(1, 4, 4, 4), strides=(1, 1, 2, 1)),
    ops.Resize(size=(8, 8), method="nearest"),
    ops.Resize(size=(8, 8), method="bilinear"),
]


@pytest.mark.parametrize("op", UNARY, ids=lambda op: type(op).__name__)
def test_every_operator_of_one_input(sketch, samples_of, op):
    graph = sketch.graph(sketch(op, sketch.input(1, 4, 4, 4)))
    samples = samples_of(graph, 100)["x0"]
    assert noise_db(graph, quantise(graph, samples), samples) > 25


@pytest.mark.parametrize("op", [ops.Add(), ops.Sub(), ops.Mul(), ops.Concat(axis=2), ops.MatMul(transpose_b=True)])
@pytest.mark.parametrize("constant", [False, True])
def test_every_operator_of_two_inputs(sketch, samples_of, op, constant):
    x = sketch.input(1, 4, 6)
    other = sketch.normal(1, 4, 6) if constant else sketch(ops.Tanh(), x)
    graph = sketch.graph(sketch(op, sketch(ops.LeakyRelu(alpha=0.3), x), other))
    samples = samples_of(graph, 100)["x0"]
    assert noise_db(graph, quantise(graph, samples), samples) > 25


def test_a_split_and_a_transposed_convolution(sketch, samples_of):
    x = sketch.input(1, 4, 4, 6)
    a, b = sketch.many(ops.Split(axis=3, sizes=(4, 2)), x)
    y = sketch(ops.TransposeConv2D(stride=(2, 2)), a, sketch.normal(3, 3, 3, 4), sketch.normal(3))
    graph = sketch.graph(y, b)
    samples = samples_of(graph, 50)["x0"]
    assert noise_db(graph, quantise(graph, samples), samples) > 30


def test_moving_operators_share_a_scale_over_a_concat(sketch, samples_of):
    x = sketch.input(1, 6)
    small = sketch(ops.Dense(), x, sketch.normal(3, 6, scale=0.01), "")
    large = sketch(ops.Dense(), x, sketch.normal(3, 6), "")
    y = sketch(ops.Reshape(shape=(1, 2, 3)), sketch(ops.Concat(axis=1), small, large))
    graph = sketch.graph(y)
    whole = quantise(graph, samples_of(graph, 100)["x0"])
    assert len({whole.tensors[name].quantisation for name in (small, large, y)}) == 1


def test_a_fixed_scale_that_is_too_narrow_is_requantised(sketch, samples_of):
    x = sketch.input(1, 6)
    y = sketch(ops.Concat(axis=1), sketch(ops.Sigmoid(), x), sketch(ops.Tanh(), x), sketch(ops.LeakyRelu(alpha=0.5), x))
    graph = sketch.graph(y)
    samples = samples_of(graph, 100)["x0"]
    whole = quantise(graph, samples)
    assert [type(node.op) for node in whole.nodes].count(ops.Quantise) == 2
    assert noise_db(graph, whole, samples) > 35


def test_a_fixed_scale_that_is_wide_enough_is_taken_over(sketch, samples_of):
    x = sketch.input(1, 6)
    y = sketch(ops.Concat(axis=1), sketch(ops.Sigmoid(), x), sketch(ops.Softmax(), x))
    graph = sketch.graph(y)
    whole = quantise(graph, samples_of(graph, 100)["x0"])
    assert ops.Quantise not in [type(node.op) for node in whole.nodes]
    assert whole.output_tensors[0].quantisation == Quantisation(scales=(1 / 256,), zero_points=(-128,))


def test_a_given_input_quantisation_is_kept(sketch):
    graph = sketch.graph(image_net(sketch))
    given = Quantisation(scales=(1 / 255,), zero_points=(-128,))
    samples = np.random.default_rng(0).uniform(0.2, 0.7, size=(20, 8, 8, 3)).astype(np.float32)
    for source in (given, {"x0": given}):
        whole = quantise(graph, samples, input_quantisation=source)
        assert whole.input_tensors[0].quantisation == Quantisation(scales=(float(np.float32(1 / 255)),), zero_points=(-128,))


def test_a_given_input_quantisation_before_a_moving_operator(sketch):
    x = sketch.input(1, 4, 4, 3)
    y = sketch(CONV, sketch(ops.MaxPool2D(kernel=(2, 2), stride=(1, 1)), x), sketch.normal(2, 1, 1, 3), "")
    graph = sketch.graph(y)
    given = Quantisation(scales=(1 / 255,), zero_points=(-128,))
    samples = np.random.default_rng(0).uniform(0, 1, size=(20, 4, 4, 3)).astype(np.float32)
    whole = quantise(graph, samples, input_quantisation=given)
    assert ops.Quantise not in [type(node.op) for node in whole.nodes]
    assert noise_db(graph, whole, samples) > 30


@pytest.mark.parametrize("position", ["first", "middle", "last", "all"])
def test_layers_may_stay_float(sketch, samples_of, position):
    graph = sketch.graph(image_net(sketch))
    names = [node.name for node in fold(graph).nodes]
    kept = {"first": names[:1], "middle": names[2:4], "last": names[-1:], "all": names}[position]
    samples = samples_of(graph, 50)["x0"]
    whole = quantise(graph, samples, keep_float=kept)
    assert {t.dtype for t in (*whole.input_tensors, *whole.output_tensors)} == {"int8"}
    floats = [node.name for node in whole.nodes if whole.tensors[node.outputs[0]].dtype == "float32" and node.name in names]
    assert floats == list(kept)
    assert noise_db(graph, whole, samples) > 30


def test_operators_without_an_integer_form_become_islands(sketch, samples_of):
    y = sketch(ops.Dense(), sketch.input(1, 5, 8), sketch.normal(8, 8), "")
    y = sketch(ops.LayerNorm(), y, np.ones(8, np.float32), sketch.normal(8))
    graph = sketch.graph(sketch(ops.Dense(), y, sketch.normal(3, 8), ""))
    samples = samples_of(graph, 50)["x0"]
    whole = quantise(graph, samples)
    assert [type(node.op).__name__ for node in whole.nodes] == ["Dense", "Dequantise", "LayerNorm", "Quantise", "Dense"]
    assert noise_db(graph, whole, samples) > 30


def test_a_constant_shared_by_float_and_integer_nodes(sketch, samples_of):
    x = sketch.input(1, 4)
    y = sketch(ops.Mul(), sketch(ops.Tanh(), x), sketch.normal(1, 4))
    shared = sketch.nodes[-1].inputs[1]
    z = sketch(ops.Mul(), sketch(ops.Sigmoid(), x), shared)
    graph = sketch.graph(sketch(ops.Add(), y, z))
    samples = samples_of(graph, 50)["x0"]
    for kept in ([], ["mul1"], ["mul3"], ["mul1", "mul3"]):
        assert noise_db(graph, quantise(graph, samples, keep_float=kept), samples) > 25


def test_dead_channels_and_constant_layers(sketch, samples_of):
    weights = sketch.normal(4, 3, 3, 3)
    weights[1] = 0
    weights[2] = 1e-25
    y = sketch(CONV, sketch.input(1, 6, 6, 3), weights, np.float32([0.1, 0, 3.0, -100]))
    y = sketch(ops.Conv2D(), y, np.zeros((2, 1, 1, 4), np.float32), np.float32([0, 0]))
    y = sketch(ops.Conv2D(), y, sketch.normal(2, 1, 1, 2), np.float32([1.0, -2.0]))
    graph = sketch.graph(y)
    samples = samples_of(graph, 20)["x0"]
    (exact,), (given,) = interpret(graph, samples), real_outputs(quantise(graph, samples), samples)
    np.testing.assert_allclose(given, exact, atol=0.05)


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e6, 1e15])
def test_tiny_and_huge_activations(sketch, samples_of, scale):
    graph = sketch.graph(image_net(sketch))
    samples = samples_of(graph, 20, scale=scale)["x0"]
    assert noise_db(graph, quantise(graph, samples), samples) > 20


def test_a_sum_that_cancels(sketch, samples_of):
    x = sketch.input(1, 6)
    y = sketch(ops.Sub(), sketch(ops.LeakyRelu(alpha=0.5), x), sketch(ops.LeakyRelu(alpha=0.5), x))
    graph = sketch.graph(y)
    samples = samples_of(graph, 20)["x0"]
    assert np.abs(real_outputs(quantise(graph, samples), samples)[0]).max() < 0.05


def test_two_inputs_and_shared_weights(sketch, samples_of):
    weights = sketch.normal(4, 4)
    a = sketch(ops.Dense(), sketch.input(1, 4), weights, "")
    b = sketch(ops.Dense(), sketch.input(1, 4), sketch.nodes[0].inputs[1], "")
    graph = sketch.graph(sketch(ops.Add(), a, b))
    samples = samples_of(graph, 50)
    whole = quantise(graph, [samples])
    assert len(whole.constants) == 1
    assert whole.inputs == ("x0", "x1")
    with pytest.raises(UserError, match="2 inputs"):
        quantise(graph, [samples], input_quantisation=affine(-1, 1))


def test_mistakes_are_named(sketch, samples_of):
    graph = sketch.graph(image_net(sketch))
    samples = samples_of(graph, 5)["x0"]
    with pytest.raises(UserError, match="conv2d0"):
        quantise(graph, samples, keep_float=["conv2d1"])
    with pytest.raises(UserError, match="x0"):
        quantise(graph, samples, input_quantisation={"x1": affine(-1, 1)})
    with pytest.raises(UserError, match="calibrated range"):
        quantise_by_ranges(graph, {"x0": calibrate(graph, samples)["x0"]})
    with pytest.raises(UserError, match="float stage"):
        quantise(quantise(graph, samples), samples)


def test_the_same_arguments_give_the_same_graph(sketch, samples_of):
    from marram.core.codec import digest

    graph = sketch.graph(image_net(sketch))
    samples = samples_of(graph, 20)["x0"]
    assert digest(quantise(graph, samples)) == digest(quantise(graph, samples))
