"""Laws of the writer: what is read back is what was written, and runtimes compute what the Graph says."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Quantisation
from marram.model.reference import interpret
from marram.model.tflite import read, write
from marram.model.tflite.lowering import lower


def unnamed(graph):
    """A graph without what a file does not keep: the names of nodes."""
    return msgspec.structs.replace(
        graph, nodes=tuple(msgspec.structs.replace(node, name="") for node in graph.nodes), constants={}, tensors={}
    )


def test_what_was_written_is_read_back(sample):
    lowered, again = lower(sample), read(write(sample))
    assert unnamed(again) == unnamed(lowered)
    assert again.tensors == lowered.tensors
    assert set(again.constants) == set(lowered.constants)
    for name, value in lowered.constants.items():
        assert again.constants[name].dtype == value.dtype
        np.testing.assert_array_equal(again.constants[name], value)


def test_reading_and_writing_again_gives_the_same_bytes(sample):
    data = write(sample)
    assert write(read(data)) == data
    assert write(sample) == data


def test_litert_computes_what_the_graph_says(sample, random_inputs, litert):
    data = write(sample)
    for seed in range(3):
        inputs = random_inputs(sample, seed)
        expected = interpret(sample, inputs)
        for ours, theirs in zip(expected, litert(data, sample, inputs), strict=True):
            if ours.dtype == np.int8:  # XNNPACK rounds otherwise than the specification's double rounding
                assert np.abs(ours.astype(int) - theirs).max() <= 2
            else:
                np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)


def test_microcontrollers_compute_the_same_bytes(integer_sample, random_inputs, tflm):
    data = write(integer_sample)
    for seed in range(3):
        inputs = random_inputs(integer_sample, seed)
        expected = interpret(integer_sample, inputs)
        for ours, theirs in zip(expected, tflm(data, inputs, len(expected)), strict=True):
            np.testing.assert_array_equal(theirs, ours)


def test_constants_are_aligned_for_kernels(draw):
    from ai_edge_litert import schema_py_generated as schema

    data = write(draw("network", "int8"))
    model = schema.Model.GetRootAs(data, 0)
    vectors = [model.Buffers(i) for i in range(1, model.BuffersLength())]
    assert vectors
    for buffer in vectors:
        start = buffer._tab.Vector(buffer._tab.Offset(4))
        assert start % 16 == 0


@pytest.mark.parametrize(
    ("op", "hint"),
    [(ops.BatchNorm(), "Fold"), (ops.Lstm(hidden=2), "Unroll"), (ops.Gru(hidden=2), "Unroll")],
)
def test_what_tflite_lacks_is_refused_with_what_to_do(op, hint, draw):
    graph = draw("relu", "float32")
    graph = msgspec.structs.replace(graph, nodes=(msgspec.structs.replace(graph.nodes[0], op=op),))
    with pytest.raises(UserError, match="node n0") as caught:
        write(graph)
    assert hint in caught.value.hint


def test_an_average_that_leaves_out_odd_padding_is_refused(sketch):
    board = sketch("odd", "float32", (1, 8, 8, 2))
    y = board.add(ops.AveragePool2D(kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1)), "x0")
    with pytest.raises(UserError, match="leaves out the padding"):
        write(board.graph(y))


def test_a_layer_norm_on_integers_is_refused(draw):
    graph = draw("layer_norm", "float32")
    tensors = {
        name: msgspec.structs.replace(tensor, dtype="int8", quantisation=Quantisation(scales=(0.1,), zero_points=(0,)))
        for name, tensor in graph.tensors.items()
    }
    with pytest.raises(UserError, match="layer norm on integers"):
        write(msgspec.structs.replace(graph, tensors=tensors))


def test_float_islands_in_an_integer_graph(sketch, random_inputs, litert, tflm):
    board = sketch("island", "int8", (1, 8))
    y = board.add(ops.Dequantise(), "x0")
    board.tensors[y] = msgspec.structs.replace(board.tensors[y], dtype="float32", quantisation=None)
    z = board.add(ops.Tanh(), y)
    board.tensors[z] = msgspec.structs.replace(board.tensors[z], dtype="float32", quantisation=None)
    graph = board.graph(board.add(ops.Quantise(), z, affine=(1 / 128, 0)))
    data, inputs = write(graph), random_inputs(graph, 1)
    assert write(read(data)) == data
    expected = interpret(graph, inputs)[0].astype(int)
    assert np.abs(expected - litert(data, graph, inputs)[0]).max() <= 1
    assert np.abs(expected - tflm(data, inputs)[0]).max() <= 1


SMALL = st.integers(1, 3)
PAIRS = st.tuples(SMALL, SMALL)
EDGES = st.tuples(*[st.integers(0, 2)] * 4)


@st.composite
def windows(draw_value):
    """A layer with a window of any geometry, and the shape of its weights if it has any."""
    kind = draw_value(st.sampled_from(["conv", "depthwise", "transposed", "max_pool"]))
    stride, edges, kernel = draw_value(PAIRS), draw_value(EDGES), draw_value(PAIRS)
    activation = draw_value(st.sampled_from(["none", "relu", "relu6"]))
    if kind == "max_pool":
        edges = tuple(min(edge, kernel[i // 2] - 1) for i, edge in enumerate(edges))
        return ops.MaxPool2D(kernel=kernel, stride=stride, padding=edges, activation=activation), None
    if kind == "transposed":
        extra = tuple(draw_value(st.integers(0, step - 1)) for step in stride)
        op = ops.TransposeConv2D(stride=stride, padding=edges, output_padding=extra, activation=activation)
        return op, (3, *kernel, 2)
    dilation = draw_value(PAIRS)
    if kind == "conv":
        return ops.Conv2D(stride=stride, dilation=dilation, padding=edges, activation=activation), (3, *kernel, 2)
    op = ops.DepthwiseConv2D(stride=stride, dilation=dilation, padding=edges, activation=activation)
    return op, (1, *kernel, 4)


@settings(derandomize=True, max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows(), st.integers(5, 8), st.integers(5, 8))
def test_any_geometry_survives(sketch, tflm, litert, random_inputs, layer, height, width):
    op, weights = layer
    board = sketch("geometry", "int8", (1, height, width, 2))
    names = []
    if weights:
        axis = 3 if weights[0] == 1 else 0
        names = [board.constant(*weights, axis=axis)]
        names.append(board.bias("x0", names[0], channel_axis=axis))
    try:
        graph = board.graph(board.add(op, "x0", *names))
    except UserError:
        return  # the window does not fit
    data = write(graph)
    assert write(read(data)) == data
    assert write(lower(graph)) == data
    inputs = random_inputs(graph, height)
    np.testing.assert_array_equal(tflm(data, inputs)[0], interpret(graph, inputs)[0])
    assert np.abs(litert(data, graph, inputs)[0].astype(int) - interpret(graph, inputs)[0]).max() <= 2
