"""Streams: every push answers what the model answers to the window that ends there; what cannot be one is refused by name."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, reject, settings
from tests.compile.c.recurrent_models import recurrent_graph
from tests.compile.c.zoo_models import integer_model
from tests.compile.time_models import time_models

from marram.compile.streams.streaming import stream_of
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor, with_nodes
from marram.core.operators import Add, Conv2D, Gru, Mean, Relu
from marram.measure.streams import stream_data
from marram.model import interpret
from marram.model.reference import prepare
from marram.model.shapes import output_shapes
from marram.model.spec import verify


def pushed(streaming, data):
    """The answers of the streaming Graph to data, push by push, from states of ones."""
    states = [np.ones(tensor.shape, tensor.dtype) for tensor in streaming.graph.input_tensors[1:]]
    count = len(streaming.window.outputs)
    for rows in np.split(data, data.shape[streaming.axis] // streaming.hop_rows, axis=streaming.axis):
        found = interpret(streaming.graph, [rows, *states])
        states = list(found[count:])
        yield found[:count]


def differing(streaming, pushes=6):
    """Bytes in which pushes after the window is full differ from the answers to whole windows, and all of them."""
    data = stream_data(streaming, streaming.warm_up_pushes + pushes - 1)
    counts = Counter()
    for push, found in enumerate(pushed(streaming, data), start=1):
        end = push * streaming.hop_rows
        if push >= streaming.warm_up_pushes:
            window = np.take(data, range(end - streaming.window_rows, end), axis=streaming.axis)
            for one, other in zip(interpret(streaming.window, [window]), found, strict=True):
                counts["all"] += one.size
                counts["differing"] += int((one != other).sum())
    return counts["differing"], counts["all"]


@settings(max_examples=60)
@given(time_models())
def test_every_push_equals_the_window_that_ends_there(drawn):
    graph, hop = drawn
    refused = None
    try:
        streaming = stream_of(graph, hop)
    except UserError as error:
        refused = error
    if refused is not None:
        assert "node n" in (refused.where or "")
        assert refused.hint
        return
    verify(streaming.graph, "integer")
    bad, every = differing(streaming)
    assert bad == 0
    assert every > 0
    assert streaming.macs <= streaming.window_macs


@pytest.mark.soak
@settings(max_examples=2000)
@given(time_models(most_layers=9))
def test_every_push_of_many_models(drawn):
    try:
        streaming = stream_of(*drawn)
        prepare(streaming.window)  # a long chain may scale by less than integers can
    except UserError:
        reject()
    assert differing(streaming)[0] == 0


def chain(*layers, rows=40, channels=2):
    """Convolutions (kernel, stride, padding) along time, 4 channels each, then the mean."""
    random = np.random.default_rng(4)
    one = Quantisation(scales=(0.05,), zero_points=(3,))
    tensors = {"x": Tensor(name="x", shape=(1, 1, rows, channels), dtype="int8", quantisation=one)}
    constants, nodes, last = {}, [], "x"
    for index, (kernel, stride, padding) in enumerate(layers):
        weights = random.integers(-127, 128, (4, 1, kernel, tensors[last].shape[3])).astype(np.int8)
        constants[f"w{index}"] = weights
        scale = Quantisation(scales=(0.01,), zero_points=(0,))
        tensors[f"w{index}"] = Tensor(name=f"w{index}", shape=weights.shape, dtype="int8", quantisation=scale)
        op = Conv2D(stride=(1, stride), padding=(0, 0, *padding))
        (shape,) = output_shapes(op, [tensors[last].shape, weights.shape, ()])
        nodes.append(Node(name=f"conv{index}", op=op, inputs=(last, f"w{index}", ""), outputs=(f"y{index}",)))
        last = f"y{index}"
        tensors[last] = Tensor(name=last, shape=shape, dtype="int8", quantisation=one)
    tensors["mean"] = Tensor(name="mean", shape=(1, 4), dtype="int8", quantisation=one)
    nodes.append(Node(name="mean", op=Mean(axes=(1, 2)), inputs=(last,), outputs=("mean",)))
    return Graph(name="chain", inputs=("x",), outputs=("mean",), tensors=tensors, constants=constants, nodes=tuple(nodes))


def test_without_padding_only_new_rows_are_made():
    streaming = stream_of(chain((5, 1, (0, 0)), (3, 2, (0, 0))), 4)
    sizes = {state.of: streaming.graph.tensors[state.now].shape[2] for state in streaming.states}
    assert sizes == {"x": 4, "y0": 2, "y1": 15}  # (36 - 3) % 2 is 1: one row of y0 waits for the next push
    assert streaming.macs == 4 * 5 * 2 * 4 + 2 * 3 * 4 * 4
    assert not streaming.padded
    assert streaming.warm_up_pushes == 10
    assert differing(streaming) == (0, 24)


def test_rows_that_see_padding_are_made_anew():
    streaming = stream_of(chain((5, 1, (4, 0)), (3, 1, (1, 1))), 4)
    assert streaming.padded
    assert streaming.macs == (4 + 4) * 5 * 2 * 4 + (5 + 4 + 1) * 3 * 4 * 4
    assert differing(streaming) == (0, 24)


def test_a_window_that_is_no_multiple_of_the_hop():
    streaming = stream_of(chain((3, 1, (0, 0)), rows=41), 6)
    assert streaming.warm_up_pushes == 7
    assert differing(streaming)[0] == 0


@pytest.mark.parametrize("name", ["conv1d", "ds_cnn"])
def test_models_of_the_zoo_that_pad(name):
    streaming = stream_of(integer_model(name), 4 if name == "ds_cnn" else 8)
    assert streaming.padded
    assert streaming.macs < 0.6 * streaming.window_macs
    assert differing(streaming, pushes=2)[0] == 0


def test_a_hop_between_two_rows_of_a_layer_is_refused():
    with pytest.raises(UserError, match=r"one out of 4 rows.*node conv1|node conv1.*one out of 4") as caught:
        stream_of(chain((3, 2, (0, 0)), (3, 2, (0, 0))), 6)
    assert caught.value.hint == "Push a multiple of 4 rows at a time."


@pytest.mark.parametrize("hop", [0, -3, 40, 41])
def test_a_hop_that_makes_no_stream_is_refused(hop):
    with pytest.raises(UserError, match="rows at a time"):
        stream_of(chain((3, 1, (0, 0))), hop)


@pytest.mark.parametrize("shape", [(8,), (1, 1), (2, 8)])
def test_inputs_without_rows_are_refused(shape):
    one = Quantisation(scales=(0.05,), zero_points=(3,))
    tensors = {name: Tensor(name=name, shape=shape, dtype="int8", quantisation=one) for name in ("x", "y")}
    node = Node(name="relu", op=Relu(), inputs=("x",), outputs=("y",))
    graph = Graph(name="flat", inputs=("x",), outputs=("y",), tensors=tensors, constants={}, nodes=(node,))
    with pytest.raises(UserError, match="do not make a stream") as caught:
        stream_of(graph, 1)
    assert "leading axis of 1 and more than one row" in (caught.value.hint or "")


def test_what_saves_nothing_is_refused():
    with pytest.raises(UserError, match="no row of what it makes is in two windows") as caught:
        stream_of(chain((15, 1, (14, 14)), (3, 1, (0, 0))), 30)
    assert "node conv0" in (caught.value.where or "")


def test_recurrent_layers_are_refused():
    with pytest.raises(UserError) as caught:
        stream_of(recurrent_graph("gru", length=12), 2)
    assert "(split)" in (caught.value.where or "")  # quantising writes the layer out, step by step
    layer = Node(name="rnn", op=Gru(hidden=2), inputs=("y0", "w0", "w0"), outputs=("mean",))
    graph = chain((3, 1, (0, 0)))
    with pytest.raises(UserError, match=r"begins each window with a state of zeros"):
        stream_of(msgspec.structs.replace(graph, nodes=(graph.nodes[0], layer)), 2)


def test_several_inputs_are_refused():
    graph = chain((3, 1, (0, 0)))
    other = Tensor(name="other", shape=(1, 4), dtype="int8", quantisation=graph.tensors["mean"].quantisation)
    total = msgspec.structs.replace(other, name="total")
    node = Node(name="sum", op=Add(), inputs=("mean", "other"), outputs=("total",))
    several = with_nodes(
        graph, (*graph.nodes, node), tensors={"other": other, "total": total}, inputs=("x", "other"), outputs=("total",)
    )
    with pytest.raises(UserError, match="one input, and this model has 2"):
        stream_of(several, 4)
