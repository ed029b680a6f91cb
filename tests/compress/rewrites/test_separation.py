"""Separation: a separable convolution is reproduced, any other loses the singular values behind the first of each channel."""

from __future__ import annotations

import numpy as np
import pytest

from marram.compress import Material, apply, separated
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.recipe import Recipe, Separate
from marram.model.counts import counts

OP = ops.Conv2D(stride=(1, 2), padding=(1, 0, 2, 1), dilation=(2, 1), activation="relu")


def lay(sketch, weights):
    x = sketch.input(1, 9, 8, 5)
    return sketch.graph(sketch(OP, x, weights, sketch.normal(len(weights))))


def test_a_separable_convolution_is_reproduced(sketch, assert_same_function, kinds):
    depthwise, pointwise = sketch.normal(3, 2, 5), sketch.normal(7, 5)
    graph = lay(sketch, np.einsum("oc,hwc->ohwc", pointwise, depthwise))
    made = separated(graph, (graph.nodes[0].name,))
    assert_same_function(graph, made)
    assert kinds(made) == ["depthwise_conv2d", "conv2d"]
    assert made.nodes[1].name == graph.nodes[0].name
    assert counts(made).macs < counts(graph).macs


def test_the_error_equals_the_singular_values_behind_the_first(sketch):
    weights = sketch.normal(7, 3, 2, 5)
    graph = lay(sketch, weights)
    first, second = (node for node in separated(graph, (graph.nodes[0].name,)).nodes)
    made = separated(graph, (graph.nodes[0].name,)).constants
    product = np.einsum("oc,hwc->ohwc", made[second.inputs[1]][:, 0, 0], made[first.inputs[1]][0])
    values = [np.linalg.svd(weights[..., c].reshape(7, 6).astype(np.float64), compute_uv=False) for c in range(5)]
    np.testing.assert_allclose(((weights - product) ** 2).sum(), sum((v[1:] ** 2).sum() for v in values), rtol=1e-5)


def test_a_dead_input_channel_stays_dead(sketch):
    weights = sketch.normal(7, 3, 2, 5)
    weights[..., 2] = 0
    graph = lay(sketch, weights)
    made = separated(graph, (graph.nodes[0].name,))
    assert all(np.isfinite(value).all() for value in made.constants.values())
    assert np.all(made.constants[made.nodes[1].inputs[1]][..., 2] == 0)


def test_what_cannot_be_separated_is_refused(sketch):
    x = sketch.input(1, 6, 6, 4)
    y = sketch(ops.Conv2D(), x, sketch.normal(8, 1, 1, 4), "")
    y = sketch(ops.Dense(), y, sketch.normal(8, 8), "")
    y = sketch(ops.Conv2D(groups=2), y, sketch.normal(8, 3, 3, 4), "")
    graph = sketch.graph(sketch(ops.Conv2D(), y, sketch.normal(1, 3, 3, 8), ""))
    pointwise, dense, grouped, single = (node.name for node in graph.nodes)
    for name, reason in ((pointwise, "more than one place"), (dense, "more than one place"), (grouped, "ungrouped")):
        with pytest.raises(UserError, match=reason):
            separated(graph, (name,))
    with pytest.raises(UserError, match="gains nothing with 1 output"):
        separated(graph, (single,))
    with pytest.raises(UserError, match="no node"):
        separated(graph, ("nowhere",))


def test_a_recipe_replays_it(sketch, samples_of):
    graph = lay(sketch, sketch.normal(7, 3, 2, 5))
    recipe = Recipe(decisions=(Separate(nodes=(graph.nodes[0].name,)),))
    made = apply(graph, recipe, Material(calibration=samples_of(graph)["x0"]))
    assert digest(made) == digest(separated(graph, (graph.nodes[0].name,)))
