"""Folding: each rule fires, and what it makes computes the same function."""

from __future__ import annotations

import numpy as np
import pytest

from marram.compress import fold, quantise
from marram.core import operators as ops
from marram.core.errors import UserError

CONV = ops.Conv2D(padding=(1, 1, 1, 1))


def batch_norm(sketch, x):
    c = sketch.shape(x)[-1]
    variance = np.abs(sketch.normal(c)) + 0.1
    return sketch(ops.BatchNorm(), x, sketch.normal(c), sketch.normal(c), sketch.normal(c), variance)


def check(sketch, output, expected, assert_same_function, kinds):
    graph = sketch.graph(output)
    folded = fold(graph)
    assert kinds(folded) == expected
    assert_same_function(graph, folded)
    assert fold(folded) == folded
    return folded


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("layer", ["conv", "grouped", "depthwise", "transposed", "dense"])
def test_batch_norm_goes_into_the_layer_before(sketch, assert_same_function, kinds, layer, biased):
    x = sketch.input(1, 6, 4) if layer == "dense" else sketch.input(1, 5, 6, 4)

    def bias(size):
        return sketch.normal(size) if biased else ""

    match layer:
        case "conv":
            y, kind = sketch(CONV, x, sketch.normal(3, 3, 3, 4), bias(3)), "conv2d"
        case "grouped":
            y, kind = sketch(ops.Conv2D(groups=2), x, sketch.normal(6, 3, 3, 2), bias(6)), "conv2d"
        case "depthwise":
            op = ops.DepthwiseConv2D(padding=(1, 1, 1, 1))
            y, kind = sketch(op, x, sketch.normal(1, 3, 3, 8), bias(8)), "depthwise_conv2d"
        case "transposed":
            y, kind = sketch(ops.TransposeConv2D(stride=(2, 2)), x, sketch.normal(3, 2, 2, 4), bias(3)), "transpose_conv2d"
        case _:
            y, kind = sketch(ops.Dense(), x, sketch.normal(5, 4), bias(5)), "dense"
    y = batch_norm(sketch, y)
    check(sketch, y, [kind], assert_same_function, kinds)


def test_batch_norm_goes_into_the_layer_after_when_nothing_is_before(sketch, assert_same_function, kinds):
    y = batch_norm(sketch, sketch.input(1, 5, 6, 4))
    y = sketch(ops.Conv2D(), y, sketch.normal(3, 3, 3, 4), "")
    check(sketch, y, ["conv2d"], assert_same_function, kinds)


@pytest.mark.parametrize("op", [ops.Conv2D(groups=2), ops.DepthwiseConv2D(), ops.Dense()])
def test_batch_norm_before_other_layers(sketch, assert_same_function, kinds, op):
    shape = {ops.Conv2D: (6, 3, 3, 2), ops.DepthwiseConv2D: (1, 3, 3, 8), ops.Dense: (5, 4)}[type(op)]
    y = batch_norm(sketch, sketch.input(1, 5, 6, 4))
    y = sketch(op, y, sketch.normal(*shape), "")
    graph = sketch.graph(y)
    folded = fold(graph)
    assert len(folded.nodes) == 1
    assert_same_function(graph, folded)


def test_batch_norm_before_a_padded_layer_becomes_a_depthwise_convolution(sketch, assert_same_function, kinds):
    y = batch_norm(sketch, sketch.input(1, 5, 6, 4))
    y = sketch(ops.Relu(), y)
    y = sketch(CONV, y, sketch.normal(3, 3, 3, 4), "")
    folded = check(sketch, y, ["depthwise_conv2d", "conv2d"], assert_same_function, kinds)
    assert folded.nodes[0].op.activation == "relu"


def test_batch_norm_on_sequences_becomes_a_product_and_a_sum(sketch, assert_same_function, kinds):
    y = sketch(ops.Tanh(), batch_norm(sketch, sketch.input(1, 6, 4)))
    check(sketch, y, ["mul", "add", "tanh"], assert_same_function, kinds)


def test_batch_norm_meets_its_layer_over_a_reshape(sketch, assert_same_function, kinds):
    x = sketch(ops.Reshape(shape=(1, 1, 12, 4)), sketch.input(1, 12, 4))
    y = sketch(ops.Conv2D(padding=(0, 0, 1, 1)), x, sketch.normal(5, 1, 3, 4), "")
    y = sketch(ops.Reshape(shape=(1, 12, 5)), y)
    y = sketch(ops.Relu(), batch_norm(sketch, y))
    y = sketch(ops.Reshape(shape=(1, 1, 12, 5)), y)
    y = sketch(ops.Conv2D(), y, sketch.normal(2, 1, 3, 5), "")
    folded = check(sketch, y, ["reshape", "conv2d", "conv2d"], assert_same_function, kinds)
    assert folded.nodes[1].op.activation == "relu"


def test_residual_sums_meet_over_reshapes(sketch, assert_same_function, kinds):
    x = sketch(ops.Reshape(shape=(1, 1, 12, 4)), sketch.input(1, 12, 4))
    parts = []
    for _ in range(2):
        y = sketch(ops.Conv2D(), x, sketch.normal(5, 1, 1, 4), "")
        parts.append(sketch(ops.Reshape(shape=(1, 12, 5)), y))
    y = sketch(ops.Relu(), sketch(ops.Add(), *parts))
    check(sketch, y, ["reshape", "conv2d", "conv2d", "add", "reshape"], assert_same_function, kinds)


@pytest.mark.parametrize("op", [ops.Add(), ops.Mul(), ops.Sub()])
@pytest.mark.parametrize("shape", [(), (3,), (1, 1, 1, 3)])
@pytest.mark.parametrize("before", [False, True])
def test_constants_go_into_the_layer_beside(sketch, assert_same_function, kinds, op, shape, before):
    constant = sketch.normal(*shape) if shape else sketch.normal(1)
    x = sketch.input(1, 5, 6, 3)
    if before:
        x = sketch(op, x, constant)
    y = sketch(ops.Conv2D(), x, sketch.normal(3, 3, 3, 3), sketch.normal(3))
    y = y if before else sketch(op, y, constant)
    check(sketch, y, ["conv2d"], assert_same_function, kinds)


def test_an_offset_does_not_go_through_padding(sketch, assert_same_function, kinds):
    y = sketch(ops.Add(), sketch.input(1, 5, 6, 3), sketch.normal(3))
    y = sketch(CONV, y, sketch.normal(3, 3, 3, 3), sketch.normal(3))
    check(sketch, y, ["add", "conv2d"], assert_same_function, kinds)


def test_a_factor_goes_through_padding(sketch, assert_same_function, kinds):
    y = sketch(ops.Mul(), sketch.normal(3), sketch.input(1, 5, 6, 3))
    y = sketch(CONV, y, sketch.normal(3, 3, 3, 3), "")
    check(sketch, y, ["conv2d"], assert_same_function, kinds)


def test_a_constant_that_broadcasts_the_input_stays(sketch, assert_same_function, kinds):
    y = sketch(ops.Mul(), sketch.input(1, 1, 3), sketch.normal(5, 3))
    y = sketch(ops.Dense(), y, sketch.normal(2, 3), "")
    check(sketch, y, ["mul", "dense"], assert_same_function, kinds)


def test_a_layer_with_two_readers_is_not_changed(sketch, assert_same_function, kinds):
    y = sketch(ops.Conv2D(), sketch.input(1, 5, 6, 3), sketch.normal(3, 1, 1, 3), "")
    z = sketch(ops.Add(), sketch(ops.Relu(), y), sketch(ops.Mul(), y, sketch.normal(3)))
    check(sketch, z, ["conv2d", "relu", "mul", "add"], assert_same_function, kinds)


@pytest.mark.parametrize("op", [ops.Relu(), ops.Relu6()])
def test_activations_are_fused(sketch, assert_same_function, kinds, op):
    x = sketch.input(1, 6, 6, 3)
    y = sketch(op, sketch(ops.Conv2D(), x, sketch.normal(3, 1, 1, 3, scale=5), ""))
    y = sketch(op, sketch(ops.Add(), x, y))
    y = sketch(ops.Relu(), sketch(ops.MaxPool2D(kernel=(2, 2), stride=(2, 2)), y))
    folded = check(sketch, y, ["conv2d", "add", "max_pool2d"], assert_same_function, kinds)
    assert folded.nodes[0].op.activation == type(op).__name__.lower()


def test_an_activation_is_not_fused_when_others_see_the_layer(sketch, assert_same_function, kinds):
    y = sketch(ops.Conv2D(), sketch.input(1, 6, 6, 3), sketch.normal(3, 1, 1, 3), "")
    z = sketch(ops.Relu(), y)
    graph = sketch.graph(z, y)
    folded = fold(graph)
    assert kinds(folded) == ["conv2d", "relu"]
    assert_same_function(graph, folded)


@pytest.mark.parametrize("form", ["product first", "gate first"])
def test_hard_swish_is_recognised(sketch, assert_same_function, kinds, form):
    x = sketch(ops.Conv2D(), sketch.input(1, 4, 4, 3), sketch.normal(3, 1, 1, 3, scale=3), "")
    gate = sketch(ops.Relu6(), sketch(ops.Add(), x, np.float32([3])))
    if form == "product first":
        y = sketch(ops.Mul(), sketch(ops.Mul(), x, gate), np.float32([1 / 6]))
    else:
        y = sketch(ops.Mul(), x, sketch(ops.Mul(), gate, np.float32([1 / 6])))
    check(sketch, y, ["conv2d", "hard_swish"], assert_same_function, kinds)


def test_a_pad_goes_into_every_convolution_that_reads_it(sketch, assert_same_function, kinds):
    padded = sketch(ops.Pad(paddings=((0, 0), (1, 0), (2, 1), (0, 0))), sketch.input(1, 5, 6, 3))
    a = sketch(ops.Conv2D(padding=(0, 1, 0, 0)), padded, sketch.normal(3, 2, 3, 3), "")
    b = sketch(ops.DepthwiseConv2D(padding=(0, 1, 0, 0)), padded, sketch.normal(1, 2, 3, 3), "")
    check(sketch, sketch(ops.Add(), a, b), ["conv2d", "depthwise_conv2d", "add"], assert_same_function, kinds)


@pytest.mark.parametrize(("relu", "expected"), [(True, ["relu", "max_pool2d"]), (False, ["pad", "max_pool2d"])])
def test_a_pad_goes_into_a_maximum_only_over_what_is_never_negative(sketch, assert_same_function, kinds, relu, expected):
    x = sketch.input(1, 6, 6, 2)
    x = sketch(ops.Relu(), x) if relu else x
    x = sketch(ops.Pad(paddings=((0, 0), (1, 1), (1, 1), (0, 0))), x)
    y = sketch(ops.MaxPool2D(kernel=(3, 3), stride=(2, 2)), x)
    check(sketch, y, expected, assert_same_function, kinds)


def test_a_pad_stays_before_an_average(sketch, assert_same_function, kinds):
    x = sketch(ops.Pad(paddings=((0, 0), (1, 1), (1, 1), (0, 0))), sketch(ops.Relu(), sketch.input(1, 6, 6, 2)))
    y = sketch(ops.AveragePool2D(kernel=(3, 3), stride=(2, 2)), x)
    check(sketch, y, ["relu", "pad", "average_pool2d"], assert_same_function, kinds)


def test_constants_are_computed(sketch, assert_same_function, kinds):
    c = sketch(ops.Transpose(permutation=(1, 0)), sketch.normal(3, 4))
    c = sketch(ops.Mul(), c, sketch.normal(3))
    y = sketch(ops.MatMul(), sketch.input(1, 5, 4), c)
    check(sketch, y, ["dense"], assert_same_function, kinds)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_product_with_a_matrix_and_a_sum_become_dense(sketch, assert_same_function, kinds, transposed):
    matrix = sketch.normal(3, 4) if transposed else sketch.normal(4, 3)
    y = sketch(ops.MatMul(transpose_b=transposed), sketch.input(1, 5, 4), matrix)
    check(sketch, sketch(ops.Add(), y, sketch.normal(3)), ["dense"], assert_same_function, kinds)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_convolution_with_a_group_for_each_channel_becomes_depthwise(sketch, assert_same_function, kinds, multiplier):
    op = ops.Conv2D(groups=4, stride=(2, 1), padding=(1, 0, 0, 1), activation="relu")
    y = sketch(op, sketch.input(1, 6, 7, 4), sketch.normal(4 * multiplier, 3, 3, 1), sketch.normal(4 * multiplier))
    check(sketch, y, ["depthwise_conv2d"], assert_same_function, kinds)


def test_what_changes_nothing_goes(sketch, assert_same_function, kinds):
    x = sketch.input(1, 4, 4, 2)
    y = sketch(ops.Tanh(), x)
    y = sketch(ops.Reshape(shape=(1, 4, 4, 2)), y)
    y = sketch(ops.Transpose(permutation=(0, 1, 2, 3)), y)
    y = sketch(ops.Pad(paddings=((0, 0),) * 4), y)
    y = sketch(ops.Slice(begin=(0,) * 4, end=(1, 4, 4, 2), strides=(1,) * 4), y)
    y = sketch(ops.Resize(size=(4, 4), method="bilinear"), y)
    y = sketch(ops.AveragePool2D(kernel=(1, 1), stride=(1, 1)), y)
    y = sketch(ops.Concat(axis=3), y)
    y = sketch(ops.Split(axis=3, sizes=(2,)), y)
    y = sketch(ops.Add(), y, np.zeros(2, np.float32))
    y = sketch(ops.Mul(), y, np.ones(1, np.float32))
    sketch(ops.Sigmoid(), y)
    check(sketch, y, ["tanh"], assert_same_function, kinds)


def test_an_identity_between_input_and_output_stays(sketch, assert_same_function, kinds):
    y = sketch(ops.Reshape(shape=(1, 3)), sketch.input(1, 3))
    check(sketch, y, ["reshape"], assert_same_function, kinds)


def test_reshapes_and_transposes_merge(sketch, assert_same_function, kinds):
    y = sketch(ops.Reshape(shape=(1, 6, 4)), sketch(ops.Tanh(), sketch.input(1, 2, 3, 4)))
    y = sketch(ops.Reshape(shape=(1, 4, 3, 2)), y)
    y = sketch(ops.Transpose(permutation=(0, 3, 1, 2)), y)
    y = sketch(ops.Transpose(permutation=(0, 2, 1, 3)), y)
    check(sketch, y, ["tanh", "reshape", "transpose"], assert_same_function, kinds)


def test_a_transpose_of_unit_axes_is_a_reshape(sketch, assert_same_function, kinds):
    y = sketch(ops.Transpose(permutation=(0, 3, 1, 2)), sketch(ops.Tanh(), sketch.input(1, 1, 5, 1)))
    check(sketch, y, ["tanh", "reshape"], assert_same_function, kinds)


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, ["tanh", "relu"]), (1.0, ["tanh"]), (0.2, ["tanh", "leaky_relu"])])
def test_degenerate_leaky_relu(sketch, assert_same_function, kinds, alpha, expected):
    y = sketch(ops.LeakyRelu(alpha=alpha), sketch(ops.Tanh(), sketch.input(1, 7)))
    check(sketch, y, expected, assert_same_function, kinds)


def test_a_factor_goes_into_the_softmax_behind_it(sketch, assert_same_function, kinds):
    y = sketch(ops.Softmax(beta=2.0), sketch(ops.Mul(), np.float32([0.25]), sketch.input(1, 7)))
    folded = check(sketch, y, ["softmax"], assert_same_function, kinds)
    assert folded.nodes[0].op.beta == 0.5


@pytest.mark.parametrize("factor", [-0.25, (0.25, 0.5)])
def test_a_factor_that_a_softmax_cannot_take_stays(sketch, assert_same_function, kinds, factor):
    y = sketch(ops.Softmax(), sketch(ops.Mul(), sketch.input(1, 2), np.float32(factor).reshape(-1)))
    check(sketch, y, ["mul", "softmax"], assert_same_function, kinds)


@pytest.mark.parametrize(
    ("permutation", "constant", "expected"),
    [
        ((0, 2, 1, 3), 4, ["conv2d", "transpose"]),
        ((0, 3, 1, 2), 1, ["conv2d", "transpose"]),
        ((0, 3, 1, 2), 4, ["conv2d", "transpose", "mul"]),
    ],
)
def test_element_wise_steps_meet_their_layer_over_a_transpose(
    sketch, assert_same_function, kinds, permutation, constant, expected
):
    y = sketch(ops.Conv2D(), sketch.input(1, 4, 4, 3), sketch.normal(4, 1, 1, 3), "")
    y = sketch(ops.Mul(), sketch(ops.Transpose(permutation=permutation), y), sketch.normal(constant))
    check(sketch, sketch(ops.Relu(), y), expected, assert_same_function, kinds)


def test_inputs_and_outputs_keep_their_names(sketch):
    x = sketch.input(1, 4)
    y = sketch(ops.Relu(), sketch(ops.Dense(), x, sketch.normal(3, 4), ""))
    folded = fold(sketch.graph(y))
    assert (folded.inputs, folded.outputs) == ((x,), (y,))
    assert set(folded.tensors) == {x, y, *folded.constants}


def test_an_integer_graph_is_refused(sketch, samples_of):
    graph = sketch.graph(sketch(ops.Tanh(), sketch.input(1, 4)))
    with pytest.raises(UserError, match="float stage"):
        fold(quantise(graph, samples_of(graph)["x0"]))


@pytest.mark.parametrize(
    ("begin", "end", "stride", "gone"), [(2, 5, 1, True), (3, 5, 2, True), (0, 2, 1, True), (1, 3, 1, False)]
)
def test_slice_of_one_part_of_a_concat(sketch, assert_same_function, kinds, begin, end, stride, gone):
    parts = [sketch(ops.Tanh(), sketch.input(1, size, 4)) for size in (2, 3, 1)]
    whole = sketch(ops.Concat(axis=1), *parts)
    y = sketch(ops.Slice(begin=(0, begin, 1), end=(1, end, 4), strides=(1, stride, 2)), whole)
    graph = sketch.graph(sketch(ops.Tanh(), y))
    folded = fold(graph)
    assert ("concat" not in kinds(folded)) is gone
    assert_same_function(graph, folded)
