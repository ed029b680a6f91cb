"""Skipping: which spans a net has, worked out by hand and by brute force, and what is left without them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.conftest import Sketch, samples_of
from tests.compress.structure.conftest import zoo_graph
from tests.compress.structure.random_nets import random_net

from marram.compress.rewrites.folding import fold
from marram.compress.structure.skipping import skipped, spans
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.model.counts import counts
from marram.model.reference import interpret
from marram.model.spec import verify


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("conv1d", []),
        ("conv_autoencoder", []),
        ("ds_cnn", [f"blocks.{i}.1.2" for i in range(4)]),
        ("fc_autoencoder", [f"hidden.{i}.2" for i in (1, 2, 3, 6, 7, 8)]),
        ("mobilenet_v1", [f"blocks.{i}.1.2" for i in (2, 4, 6, 7, 8, 9, 10, 12)]),
        ("mobilenet_v2", [f"blocks.{i}" for i in (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)]),
        ("resnet8", ["stack1.second.1", "stack1.relu", "stack2.second.1", "stack3.second.1"]),
        ("transformer", ["blocks.0.add", "blocks.0.add_1", "blocks.1.add", "blocks.1.add_1"]),
    ],
)
def test_the_blocks_of_zoo_models_are_found(model, names):
    graph = zoo_graph(model)
    assert [span.name for span in spans(graph)] == names
    assert len(spans(fold(graph))) == len(names)
    for span in spans(graph):
        less = skipped(graph, [span.name])
        verify(less, "float")
        assert {node.name for node in graph.nodes} - {node.name for node in less.nodes} == set(span.nodes)
        assert counts(less).macs < counts(graph).macs
        assert_bypassed(graph, less, [span])
    nothing = skipped(graph, names)
    verify(nothing, "float")
    assert_bypassed(graph, nothing, spans(graph))


def assert_bypassed(graph, less, gone):
    """The whole graph gives the same, once each span's end takes its source's value."""
    inputs = samples_of(graph, 2)
    known = {"": None, **graph.constants, **inputs}
    source_of = {span.name: span.source for span in gone}
    for node in graph.nodes:
        single = graph.__class__(
            name="one",
            inputs=tuple(dict.fromkeys(name for name in node.inputs if name and name not in graph.constants)),
            outputs=node.outputs[:1],
            tensors=graph.tensors,
            constants={name: graph.constants[name] for name in node.inputs if name in graph.constants},
            nodes=(node,),
        )
        (result,) = interpret(single, {name: known[name] for name in single.inputs})
        name = node.outputs[0]
        known[name] = known[source_of[name]] if name in source_of else result
    for name, given in zip(graph.outputs, interpret(less, inputs), strict=True):
        np.testing.assert_allclose(given, known[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(40))
def test_spans_of_random_nets_are_closed(seed):
    graph = random_net(seed, nodes=14)
    for span in spans(graph):
        inside = [node for node in graph.nodes if node.name in span.nodes]
        made = {name for node in inside for name in node.outputs}
        read = {name for node in inside for name in node.inputs if name} - set(graph.constants)
        assert read - made == {span.source}
        outside = {name for node in graph.nodes if node not in inside for name in node.inputs} | set(graph.outputs)
        assert outside & made == {span.name}
        assert span.source not in outside
        assert graph.tensors[span.name].shape == graph.tensors[span.source].shape
        less = skipped(graph, [span.name])
        verify(less, "float")


def test_a_norm_or_an_activation_alone_is_no_span():
    sketch = Sketch()
    y = sketch(ops.Dense(), sketch.input(1, 4), sketch.normal(6, 4), "")
    for op in (ops.Relu(), ops.Relu6(), ops.Sigmoid()):
        y = sketch(op, y)
    assert spans(sketch.graph(sketch(ops.Dense(), y, sketch.normal(2, 6), ""))) == ()


def test_inner_spans_may_be_named_beside_the_outer_one():
    graph = zoo_graph("resnet8")
    both = skipped(graph, ["stack1.second.1", "stack1.relu"])
    assert both.nodes == skipped(graph, ["stack1.relu"]).nodes
    with pytest.raises(UserError, match=r"no span 'stack2\.relu'"):
        skipped(graph, ["stack2.relu"])
