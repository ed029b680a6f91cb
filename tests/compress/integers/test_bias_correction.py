"""Bias correction: the mean of every output channel returns to the float one."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from marram.compress import correct_bias, fold, quantise
from marram.compress.integers.grid import to_integers, to_reals
from marram.core import operators as ops
from marram.core.graph import with_nodes
from marram.model.reference import interpret
from marram.model.spec import verify


def net(sketch, *, biased):
    x = sketch.input(1, 6, 6, 3)
    y = sketch(ops.Conv2D(activation="relu"), x, sketch.normal(8, 3, 3, 3), sketch.normal(8) if biased else "")
    y = sketch(ops.DepthwiseConv2D(activation="relu"), y, sketch.normal(1, 3, 3, 8), sketch.normal(8) if biased else "")
    y = sketch(ops.Mean(axes=(1, 2)), y)
    return sketch.graph(sketch(ops.Dense(), y, sketch.normal(5, 8), sketch.normal(5) if biased else ""))


def mean_error(graph, whole, samples):
    (source,), (target,) = whole.input_tensors, whole.output_tensors
    given = to_reals(interpret(whole, to_integers(samples, source.quantisation))[0], target.quantisation)
    return np.abs((given - interpret(graph, samples)[0]).mean(axis=0)).max()


def biases(whole):
    return {node.name: node.inputs[2] for node in whole.nodes if len(node.inputs) > 2 and node.inputs[2]}


def spoilt(whole, shift):
    """The graph with every bias shifted, as if rounding had moved it."""
    constants = {name: whole.constants[name] + np.int32(shift) for name in biases(whole).values()}
    return with_nodes(whole, whole.nodes, constants=constants)


def test_a_shift_of_every_bias_is_found_and_undone(sketch, samples_of):
    graph = fold(net(sketch, biased=True))
    samples = samples_of(graph, 100)["x0"]
    whole = quantise(graph, samples)
    bad = spoilt(whole, 3000)
    good = correct_bias(graph, bad, samples)
    verify(good, "integer")
    assert mean_error(graph, bad, samples) > 10 * mean_error(graph, good, samples)
    assert mean_error(graph, good, samples) < whole.output_tensors[0].quantisation.scale
    for name, bias in biases(whole).items():
        np.testing.assert_allclose(good.constants[biases(good)[name]], whole.constants[bias], atol=300)


def test_a_layer_without_a_bias_gets_one(sketch, samples_of):
    graph = fold(net(sketch, biased=False))
    samples = samples_of(graph, 50)["x0"]
    good = correct_bias(graph, quantise(graph, samples), samples)
    assert len(biases(good)) == 3
    verify(good, "integer")


def test_the_weights_error_is_corrected_on_skewed_inputs(sketch, samples_of):
    x = sketch.input(1, 40)
    graph = sketch.graph(sketch(ops.Dense(), x, sketch.normal(4, 40), ""))
    samples = np.abs(samples_of(graph, 400)["x0"]) + 3  # a mean far from zero turns rounding errors into an offset
    whole = quantise(graph, samples)
    node = whole.nodes[0]
    coarse = whole.constants[node.inputs[1]] // 16 * 16
    bad = with_nodes(whole, whole.nodes, constants={node.inputs[1]: coarse.astype(np.int8)})
    assert mean_error(graph, correct_bias(graph, bad, samples), samples) < mean_error(graph, bad, samples) / 20


@pytest.mark.parametrize("kept", [("conv2d0",), ("depthwise_conv2d1",), ("mean2", "dense3")])
def test_float_islands_are_passed_over(sketch, samples_of, kept):
    graph = fold(net(sketch, biased=True))
    samples = samples_of(graph, 50)["x0"]
    whole = quantise(graph, samples, keep_float=kept)
    good = correct_bias(graph, whole, samples)
    verify(good, "integer")
    assert mean_error(graph, good, samples) < whole.output_tensors[0].quantisation.scale
    assert {n.name for n in good.nodes} == {n.name for n in whole.nodes}
    assert msgspec.structs.replace(good, nodes=()).outputs == whole.outputs


def test_layers_that_share_their_weights_keep_sharing(sketch, samples_of):
    weights = sketch.normal(4, 4)
    first = sketch(ops.Dense(), sketch.input(1, 4), weights, "")
    graph = sketch.graph(sketch(ops.Dense(), sketch(ops.Tanh(), first), sketch.normal(3, 4), ""))
    shared = msgspec.structs.replace(
        graph.nodes[0], name="again", inputs=(graph.nodes[1].outputs[0], *graph.nodes[0].inputs[1:])
    )
    shared = msgspec.structs.replace(shared, outputs=("twice",))
    tensors = {"twice": msgspec.structs.replace(graph.tensors[first], name="twice")}
    last = msgspec.structs.replace(graph.nodes[2], inputs=("twice", *graph.nodes[2].inputs[1:]))
    graph = with_nodes(graph, (*graph.nodes[:2], shared, last), tensors=tensors)
    samples = samples_of(graph, 40)["x0"]
    before = quantise(graph, samples)
    after = correct_bias(graph, before, samples)
    changed = [one.name for one, other in zip(before.nodes, after.nodes, strict=True) if one != other]
    assert changed == [last.name]
