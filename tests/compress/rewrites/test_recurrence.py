"""Unrolling: the steps compute what the recurrent operator computes."""

from __future__ import annotations

import pytest

from marram.compress import quantise, unroll
from marram.compress.rewrites.recurrence import tied
from marram.core import operators as ops
from marram.core.graph import Node
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


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_steps_share_one_quantisation(sketch, samples_of, kind):
    graph = sketch.graph(sketch(ops.Dense(), recurrent(sketch, kind, length=6)[1], sketch.normal(2, 4), ""))
    whole = quantise(graph, samples_of(graph, 50)["x0"])
    by_part: dict[tuple[str, int], list] = {}
    for node in whole.nodes:
        for index, name in enumerate(node.outputs):
            by_part.setdefault((node.name.partition("@")[0], index), []).append(whole.tensors[name].quantisation)
    recurrent_parts = [found for (part, _), found in by_part.items() if part.endswith(("/recurrent", "/h"))]
    assert [len(found) for found in recurrent_parts] in ([5, 6], [6, 5])
    assert all(len(set(found)) == 1 for found in by_part.values())
    dense = [node.inputs for node in whole.nodes if "/recurrent" in node.name]
    assert len({names[1:] for names in dense}) == 1


@pytest.mark.parametrize("reverse", [False, True])
def test_the_last_of_all_outputs_needs_no_others(sketch, assert_same_function, kinds, reverse):
    rows = recurrent(sketch, "gru", length=4, reverse=reverse)[0]
    last = sketch(ops.Slice(begin=(0, 3, 0), end=(1, 4, 4), strides=(1, 1, 1)), rows)
    graph = sketch.graph(sketch(ops.Dense(), last, sketch.normal(2, 4), ""))
    unrolled = unroll(graph)
    assert not {"concat", "slice"} & set(kinds(unrolled))
    assert_same_function(graph, unrolled)


def test_names_of_steps_are_tied_part_by_part():
    names = ["a/sum@0", "a/sum@11", "b/sum@0", "a/h@0", "a/h@1", "@3", "c"]
    nodes = [Node(name=name, op=ops.Tanh(), inputs=("x",), outputs=(f"of {name}",)) for name in names]
    assert tied(nodes) == [("of a/sum@0", "of a/sum@11"), ("of a/h@0", "of a/h@1")]


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
