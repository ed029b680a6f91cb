"""Unrolling: the steps compute what the recurrent operator computes."""

from __future__ import annotations

import pytest

from marram.compress import quantise, unroll
from marram.core import operators as ops
from marram.model.reference import interpret


def recurrent(sketch, kind, *, length=5, reverse=False, biased=True):
    x = sketch.input(1, length, 3)
    if kind == "lstm":
        weights = (sketch.normal(16, 3), sketch.normal(16, 4), sketch.normal(16) if biased else "")
        return sketch.many(ops.Lstm(hidden=4, reverse=reverse), x, *weights)
    weights = (sketch.normal(12, 3), sketch.normal(12, 4), *((sketch.normal(12), sketch.normal(12)) if biased else ("", "")))
    return sketch.many(ops.Gru(hidden=4, reverse=reverse), x, *weights)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("length", [1, 5])
def test_every_output_stays(sketch, assert_same_function, kinds, kind, reverse, biased, length):
    graph = sketch.graph(*recurrent(sketch, kind, length=length, reverse=reverse, biased=biased))
    unrolled = unroll(graph)
    assert not {"lstm", "gru"} & set(kinds(unrolled))
    assert_same_function(graph, unrolled)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_steps_that_nobody_reads_go(sketch, assert_same_function, kinds, kind):
    last = recurrent(sketch, kind)[1]
    y = sketch(ops.Dense(), last, sketch.normal(2, 4), "")
    graph = sketch.graph(y)
    unrolled = unroll(graph)
    assert "concat" not in kinds(unrolled)
    assert_same_function(graph, unrolled)


def test_other_graphs_stay_as_they_are(sketch):
    graph = sketch.graph(sketch(ops.Tanh(), sketch.input(1, 4)))
    assert unroll(graph) is graph


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_integer_form_is_near(sketch, samples_of, kind):
    graph = sketch.graph(sketch(ops.Dense(), recurrent(sketch, kind)[1], sketch.normal(2, 4), ""))
    samples = samples_of(graph, 200)["x0"]
    whole = quantise(graph, samples)
    (output,) = whole.output_tensors
    x = whole.input_tensors[0].quantisation
    entered = (samples / x.scale).round() + x.zero_point
    (y,) = interpret(whole, entered.clip(-128, 127).astype("int8"))
    real = (y.astype(float) - output.quantisation.zero_point) * output.quantisation.scale
    (exact,) = interpret(graph, samples)
    assert ((real - exact) ** 2).mean() < 0.002 * (exact**2).mean()
