"""Damage: figures that can be worked out by hand, and one bad layer among good ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from marram.compress import damage, fold, quantise
from marram.compress.integers.layer_damage import accuracy, decibels, only
from marram.core import operators as ops
from marram.core.graph import with_nodes
from marram.model.reference import interpret
from marram.model.spec import verify


def net(sketch):
    x = sketch.input(1, 8, 8, 3)
    y = sketch(ops.Conv2D(activation="relu"), x, sketch.normal(8, 3, 3, 3), sketch.normal(8))
    y = sketch(ops.Conv2D(activation="relu"), y, sketch.normal(8, 3, 3, 8), sketch.normal(8))
    y = sketch(ops.Concat(axis=3), y, sketch(ops.MaxPool2D(kernel=(1, 1), stride=(1, 1), activation="relu6"), y))
    y = sketch(ops.Mean(axes=(1, 2)), y)
    return fold(sketch.graph(sketch(ops.Dense(), y, sketch.normal(5, 16), sketch.normal(5))))


def test_every_integer_layer_has_its_row(sketch, samples_of):
    graph = net(sketch)
    samples = samples_of(graph, 60)["x0"]
    targets = interpret(graph, samples)[0].argmax(axis=1)
    rows = damage(graph, quantise(graph, samples), samples, targets)
    assert [row.node for row in rows] == [node.name for node in graph.nodes]
    for row in rows:
        assert row.sqnr_db > 20
        assert row.low < row.high
        assert row.saturated < 0.001
        assert row.accuracy is not None
        assert row.accuracy > 0.9


def test_a_bad_layer_is_found(sketch, samples_of):
    graph = net(sketch)
    samples = samples_of(graph, 60)["x0"]
    targets = interpret(graph, samples)[0].argmax(axis=1)
    whole = quantise(graph, samples)
    weights = whole.nodes[1].inputs[1]
    bad = with_nodes(whole, whole.nodes, constants={weights: (whole.constants[weights] // 64 * 64).astype(np.int8)})
    rows = {row.node: row for row in damage(graph, bad, samples, targets)}
    worst = min(rows.values(), key=lambda row: row.accuracy)
    assert worst.node == graph.nodes[1].name
    assert rows[graph.nodes[0].name].sqnr_db > 30
    assert rows[graph.nodes[1].name].sqnr_db < 20


def test_saturation_is_counted(sketch):
    graph = sketch.graph(sketch(ops.LeakyRelu(alpha=0.5), sketch.input(1, 1)))
    whole = quantise(graph, np.float32([[-1], [1]]))
    samples = np.float32([[0.5], [0.9], [2.0], [-0.5]])
    (row,) = damage(graph, whole, samples)
    assert row.saturated == 0.25
    assert (row.low, row.high, row.accuracy) == (-0.25, 2.0, None)


def test_only_one_layer_is_integer(sketch, samples_of):
    graph = net(sketch)
    samples = samples_of(graph, 20)["x0"]
    whole = quantise(graph, samples)
    for node in graph.nodes:
        single = only(graph, whole, node.name)
        verify(single, "integer")
        integer = [n.name for n in single.nodes if single.tensors[n.outputs[0]].dtype == "int8" and n.name == node.name]
        assert integer == [node.name]
        assert len(single.nodes) == len(graph.nodes) + sum(name not in graph.constants for name in set(node.inputs) - {""}) + 1
        (exact,), (given,) = interpret(graph, samples), interpret(single, samples)
        np.testing.assert_allclose(given, exact, atol=0.1 * np.abs(exact).max())


def test_the_count_of_samples_is_bounded(sketch, samples_of):
    graph = net(sketch)
    samples = samples_of(graph, 60)["x0"]
    whole = quantise(graph, samples)
    assert damage(graph, whole, samples, limit=20) == damage(graph, whole, samples[:20])
    assert damage(graph, whole, [samples[:15], samples[15:]], limit=20) == damage(graph, whole, samples[:20])


def test_more_samples_than_the_reference_takes_at_once(sketch, samples_of):
    graph = net(sketch)
    samples = samples_of(graph, 150)["x0"]
    whole = quantise(graph, samples)
    together, apart = damage(graph, whole, samples), damage(graph, whole, [samples[:70], samples[70:]])
    for one, other in zip(together, apart, strict=True):
        assert one.sqnr_db == pytest.approx(other.sqnr_db)
        assert (one.low, one.high, one.saturated) == (other.low, other.high, other.saturated)


def test_decibels():
    assert decibels(100, 1) == pytest.approx(20)
    assert decibels(1, 0) == math.inf
    assert decibels(0, 1) == -math.inf


def test_accuracy(sketch):
    graph = sketch.graph(sketch(ops.Relu(), sketch.input(1, 3)))
    values = [{"x0": np.float32([[0, 1, 0], [3, 1, 0]])}, {"x0": np.float32([[0, 1, 2]])}]
    assert accuracy(graph, values, np.array([1, 1, 2])) == pytest.approx(2 / 3)
