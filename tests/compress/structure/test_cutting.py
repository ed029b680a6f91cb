"""Cutting: a narrowed graph computes what the whole one does when the dropped channels' shares in sums are zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compress.conftest import Sketch, samples_of
from tests.compress.structure.conftest import masked
from tests.compress.structure.random_nets import random_net
from tests.model.graphs import float_graphs

from marram.compress.rewrites.folding import fold
from marram.compress.structure.cutting import narrowed, sliced, slices
from marram.compress.structure.groups import groups
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.model.counts import counts
from marram.model.reference import interpret
from marram.model.spec import verify


def drawn_keep(found, seed, *, exact=True):
    random = np.random.default_rng(seed)
    keep = {}
    for group in found:
        if random.random() < 0.8 and (group.exact or not exact):
            size = int(random.integers(1, group.size + 1))
            keep[group.name] = np.sort(random.permutation(group.size)[:size])
    return keep


def assert_law(graph, keep):
    found = groups(graph)
    small = narrowed(graph, keep)
    verify(small, "float")
    inputs = samples_of(graph, 2)
    for whole, less in zip(interpret(masked(graph, found, keep), inputs), interpret(small, inputs), strict=True):
        size = max(1.0, float(np.abs(whole).max()))
        np.testing.assert_allclose(less / size, whole / size, atol=3e-5, rtol=0)
    cut = slices(graph, keep)
    assert set(cut) == set(graph.constants) == set(small.constants)
    for name, axes in cut.items():
        value = graph.constants[name]
        for axis, indices in axes:
            value = value[(slice(None),) * axis + (indices,)]
        np.testing.assert_array_equal(value, small.constants[name])
    assert {name: value.tobytes() for name, value in sliced(graph, cut).items()} == {
        name: value.tobytes() for name, value in small.constants.items()
    }


@pytest.mark.parametrize("folded", [False, True])
def test_zoo_models_keep_the_law(zoo_model, folded):
    graph = fold(zoo_model) if folded else zoo_model
    found = groups(graph)
    keep = drawn_keep(found, seed=int(folded))
    assert keep
    assert_law(graph, keep)
    small = narrowed(graph, {group.name: np.arange(group.size // 2) for group in found})
    verify(small, "float")
    assert counts(small).macs < 0.5 * counts(graph).macs
    again = {group.name: group.size for group in groups(small)}
    assert again == {group.name: group.size // 2 for group in found if group.size >= 4}


@pytest.mark.parametrize("seed", range(50))
def test_random_nets_keep_the_law(seed):
    graph = random_net(seed)
    assert_law(graph, drawn_keep(groups(graph), seed))


def test_random_nets_lose_channels_around_every_kind_of_operator():
    seen = set()
    for seed in range(50):
        graph = random_net(seed)
        carried = {name for group in groups(graph) for name in group.tensors}
        seen |= {type(node.op) for node in graph.nodes if carried & {*node.inputs, *node.outputs}}
    assert seen >= {ops.Lstm, ops.Gru, ops.Slice, ops.Split, ops.Pad, ops.Concat, ops.Reshape, ops.Transpose, ops.MatMul}
    assert seen >= {ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv2D, ops.Dense, ops.Add, ops.Mul, ops.Sum, ops.Softmax}


@settings(max_examples=25, deadline=None)
@given(graph=float_graphs(most_nodes=8), seed=st.integers(0, 2**32 - 1))
def test_drawn_graphs_keep_the_law(graph, seed):
    assert_law(graph, drawn_keep(groups(graph), seed))


@pytest.mark.parametrize("kind", [ops.Lstm, ops.Gru])
def test_hidden_units_of_recurrent_layers_go(kind):
    sketch, gates = Sketch(3), 4 if kind is ops.Lstm else 3
    x = sketch.input(1, 5, 3)
    x = sketch(ops.Dense(), x, sketch.normal(6, 3), "")
    y = sketch(kind(hidden=8), x, sketch.normal(gates * 8, 6), sketch.normal(gates * 8, 8, scale=0.3), sketch.normal(gates * 8))
    graph = sketch.graph(sketch(ops.Dense(), y, sketch.normal(2, 8), sketch.normal(2)))
    found = {group.name: group.size for group in groups(graph)}
    assert found == {"dense0": 6, graph.nodes[1].name: 8}
    keep = {"dense0": np.array([0, 2, 5]), graph.nodes[1].name: np.array([1, 2, 4, 7])}
    assert_law(graph, keep)
    assert narrowed(graph, keep).nodes[1].op.hidden == 4


def test_keeping_everything_changes_nothing(zoo_model):
    same = narrowed(zoo_model, {group.name: np.arange(group.size) for group in groups(zoo_model)})
    assert same.nodes == zoo_model.nodes
    assert same.tensors == zoo_model.tensors


@pytest.mark.parametrize("channels", [[], [1, 0], [0, 0], [-1, 2], [0, 6], [0.0, 1.0], [[0, 1]]])
def test_channels_that_are_no_rising_indices_are_refused(channels):
    sketch = Sketch()
    y = sketch(ops.Dense(), sketch.input(1, 4), sketch.normal(6, 4), "")
    graph = sketch.graph(sketch(ops.Dense(), y, sketch.normal(3, 6), ""))
    with pytest.raises(UserError, match="rising indices below 6"):
        narrowed(graph, {"dense0": np.array(channels)})
    with pytest.raises(UserError, match="no group 'dense1'"):
        slices(graph, {"dense1": np.array([0])})
