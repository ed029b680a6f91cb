"""Groups: what is tied together, worked out by hand; and that each tie and each pin is needed."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.conftest import Sketch
from tests.compress.structure.conftest import zoo_graph

from marram.compress.rewrites.folding import fold
from marram.compress.structure import dependencies
from marram.compress.structure.groups import groups
from marram.core import operators as ops


def sizes(graph):
    return {group.name: (group.size, group.unit) for group in groups(graph)}


def slot(group, tensor, axis):
    return next(slot for slot in group.tensors[tensor] if slot.axis == axis).places


def test_a_residual_sum_ties_the_layers_that_it_adds():
    found = {group.name: group for group in groups(zoo_graph("resnet8"))}
    assert {name: group.size for name, group in found.items()} == {
        "stem.0": 16,
        "stack1.first.0": 16,
        "stack2.first.0": 32,
        "stack2.second.0": 32,
        "stack3.first.0": 64,
        "stack3.second.0": 64,
    }
    assert found["stem.0"].producers == ("stem.0", "stack1.second.0")
    assert found["stack2.second.0"].producers == ("stack2.second.0", "stack2.shortcut")
    assert {*found["stem.0"].tensors} >= {"stem.1.weight", "stack1.second.0.weight", "stack2.shortcut.weight", "stack1.relu"}


def test_depthwise_filters_go_with_their_input():
    found = {group.name: group for group in groups(fold(zoo_graph("ds_cnn")))}
    assert {name: group.size for name, group in found.items()} == dict.fromkeys(
        ("stem.0", "blocks.0.1.0", "blocks.1.1.0", "blocks.2.1.0", "blocks.3.1.0"), 64
    )
    assert found["stem.0"].producers == ("stem.0", "blocks.0.0.0")


def test_heads_of_an_attention_and_the_inside_of_its_dense_layers():
    graph = zoo_graph("transformer")
    found = {group.name: group for group in groups(graph)}
    assert sizes(graph) == {
        "embedding": (48, 1),
        "blocks.0.attention.query": (4, 12),
        "blocks.0.wide": (96, 1),
        "blocks.1.attention.query": (4, 12),
        "blocks.1.wide": (96, 1),
    }
    heads = found["blocks.0.attention.query"]
    assert heads.producers == tuple(f"blocks.0.attention.{part}" for part in ("query", "key", "value"))
    np.testing.assert_array_equal(slot(heads, "blocks.0.attention.output.weight", 1), np.arange(48).reshape(4, 12))
    assert [group.name for group in found.values() if not group.exact] == ["embedding"]


def test_a_flattened_image_has_copies_of_its_channels():
    sketch = Sketch()
    y = sketch(ops.Conv2D(), sketch.input(1, 2, 3, 2), sketch.normal(4, 1, 1, 2), "")
    y = sketch(ops.Reshape(shape=(1, 24)), y)
    graph = sketch.graph(sketch(ops.Dense(), y, sketch.normal(3, 24), ""))
    (group,) = groups(graph)
    np.testing.assert_array_equal(slot(group, graph.nodes[2].inputs[1], 1), np.arange(24).reshape(6, 4).T)


def test_a_concat_gives_each_part_its_offset():
    sketch = Sketch()
    x = sketch.input(1, 3)
    a = sketch(ops.Dense(), x, sketch.normal(4, 3), "")
    b = sketch(ops.Dense(), x, sketch.normal(5, 3), "")
    joined = sketch(ops.Concat(axis=1), x, a, b)
    graph = sketch.graph(sketch(ops.Dense(), joined, sketch.normal(2, 12), ""))
    first, second = groups(graph)
    assert (first.name, second.name) == ("dense0", "dense1")
    np.testing.assert_array_equal(slot(first, joined, 1).ravel(), np.arange(3, 7))
    np.testing.assert_array_equal(slot(second, joined, 1).ravel(), np.arange(7, 12))


def test_one_node_may_carry_several_groups_each_with_its_name():
    sketch = Sketch()
    y = sketch(ops.Dense(), sketch.input(1, 3), sketch.normal(9, 3), "")
    parts = sketch.many(ops.Split(axis=1, sizes=(2, 4, 3)), y)
    graph = sketch.graph(*[sketch(ops.Dense(), part, sketch.normal(2, sketch.shape(part)[1]), "") for part in parts])
    assert sizes(graph) == {"dense0": (2, 1), "dense0/1": (4, 1), "dense0/2": (3, 1)}


def test_groups_of_a_convolution_go_whole():
    sketch = Sketch()
    y = sketch(ops.Conv2D(), sketch.input(1, 2, 2, 3), sketch.normal(12, 1, 1, 3), "")
    z = sketch(ops.Conv2D(groups=3), y, sketch.normal(6, 1, 1, 4), "")
    graph = sketch.graph(sketch(ops.Conv2D(), z, sketch.normal(5, 1, 1, 6), ""))
    (group,) = groups(graph)
    assert (group.size, group.unit, group.producers) == (3, 4, ("conv2d0", "conv2d1"))
    np.testing.assert_array_equal(slot(group, z, 3), np.arange(6).reshape(3, 2))


def test_shared_weights_tie_the_layers_that_read_them():
    sketch = Sketch()
    x = sketch.input(1, 4)
    y = sketch(ops.Dense(), x, sketch.normal(8, 4), "")
    weights = sketch.normal(8, 8)
    z = sketch(ops.Dense(), y, weights, "")
    z = sketch(ops.Dense(), z, sketch.nodes[-1].inputs[1], "")
    graph = sketch.graph(sketch(ops.Dense(), z, sketch.normal(2, 8), ""))
    (group,) = groups(graph)
    assert group.producers == ("dense0", "dense1", "dense2")


def test_what_is_an_input_or_an_output_is_in_no_group():
    sketch = Sketch()
    x = sketch.input(1, 4)
    y = sketch(ops.Dense(), x, sketch.normal(8, 4), "")
    z = sketch(ops.Dense(), sketch(ops.Relu(), y), sketch.normal(6, 8), "")
    graph = sketch.graph(y, sketch(ops.Softmax(), z))
    assert groups(graph) == ()


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (ops.Mean(axes=(2,)), (1, 3, 8)),
        (ops.Softmax(), (1, 3, 8)),
        (ops.Slice(begin=(0, 0, 0), end=(1, 3, 8), strides=(1, 1, 2)), (1, 3, 8)),
        (ops.Reshape(shape=(1, 4, 6)), (1, 3, 8)),
        (ops.Lstm(hidden=1), (1, 3, 8)),
    ],
)
def test_an_axis_that_is_needed_whole_pins_what_it_carries(op, shape):
    """Of the last two: a reshape through the middle of axes, and time steps."""
    sketch = Sketch()
    x = sketch.input(1, 3, 2)
    y = sketch(ops.Dense(), x, sketch.normal(8, 2), "")
    if isinstance(op, ops.Lstm):
        y = sketch(ops.Transpose(permutation=(0, 2, 1)), y)
        z = sketch(op, y, sketch.normal(4, 3), sketch.normal(4, 1), sketch.normal(4))
    else:
        z = sketch(op, y)
    graph = sketch.graph(sketch(ops.Dense(), z, sketch.normal(2, sketch.shape(z)[-1]), ""))
    assert shape[2] == 8
    assert groups(graph) == ()


def test_an_operator_without_a_rule_pins_what_is_around_it(monkeypatch):
    graph = zoo_graph("conv1d")
    assert len(groups(graph)) == 4
    monkeypatch.delitem(dependencies._RULES, ops.Mean)
    assert [group.name for group in groups(graph)] == ["stem.0", "blocks.0.1.0", "blocks.1.1.0"]
