"""Adaptive rounding: layers as products of patches, roundings near the best of all, nearer outputs within the same bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.compress.conftest import Sketch, samples_of
from tests.compress.integers.test_quantisation import image_net

from marram.compress import Material, apply, closeness, fold, quantise
from marram.compress.integers.patches import channel_groups, from_weight_groups, patches, weight_groups
from marram.compress.integers.rounding import _Form, _least, round_adaptively
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.recipe import Fold, Quantise, Recipe, Round
from marram.model.reference import interpret
from marram.model.spec import verify

LAYERS = [
    (ops.Conv2D(stride=(2, 1), padding=(1, 0, 2, 1)), (6, 3, 2, 4)),
    (ops.Conv2D(dilation=(2, 1), padding=(0, 1, 0, 0)), (3, 2, 3, 4)),
    (ops.Conv2D(groups=2), (6, 3, 3, 2)),
    (ops.DepthwiseConv2D(stride=(2, 2), padding=(1, 1, 1, 1)), (1, 3, 3, 4)),
    (ops.DepthwiseConv2D(dilation=(1, 2)), (1, 2, 3, 12)),
    (ops.Dense(), (5, 4)),
]


@pytest.mark.parametrize(("op", "shape"), LAYERS, ids=lambda each: type(each).__name__)
def test_a_layer_is_a_product_of_patches(op, shape):
    sketch = Sketch()
    weights = sketch.normal(*shape)
    graph = sketch.graph(sketch(op, sketch.input(1, 7, 8, 4), weights, ""))
    x = samples_of(graph, 3)["x0"]
    (y,) = interpret(graph, x)
    rows = patches(op, shape[1:3] if len(shape) == 4 else (1, 1), x, y.shape[-1])
    np.testing.assert_allclose(rows @ weight_groups(op, weights).transpose(0, 2, 1), channel_groups(op, y), atol=1e-4)
    np.testing.assert_array_equal(from_weight_groups(op, weight_groups(op, weights), shape), weights)


@pytest.mark.parametrize("limit", [7, 1])
def test_the_rounding_is_near_the_best_of_all(limit):
    random = np.random.default_rng(limit)
    mixed = random.normal(size=(40, 9)) @ random.normal(size=(9, 9))  # inputs that hang together
    real = random.normal(size=(1, 12, 9))
    scales = np.abs(real).max(axis=2, keepdims=True) / limit / 1.2
    form = _Form(moments=(mixed.T @ mixed)[None], products=real @ (mixed.T @ mixed))
    wanted = real / scales
    nearest = np.clip(np.round(wanted), -limit, limit)
    found = _least(form, wanted, nearest, scales, Round(iterations=300))
    floor = np.clip(np.floor(wanted), -limit, limit - 1)
    best, mine, plain = np.zeros(12), np.zeros(12), np.zeros(12)
    for channel in range(12):
        target = mixed @ real[0, channel]

        def error(whole, channel=channel, target=target):
            return float(((mixed @ (whole * scales[0, channel]) - target) ** 2).sum())

        every = [error(floor[0, channel] + np.array(up)) for up in itertools.product((0, 1), repeat=9)]
        best[channel], mine[channel], plain[channel] = min(every), error(found[0, channel]), error(nearest[0, channel])
    assert (mine <= plain).all()
    assert mine.sum() - best.sum() <= 0.35 * (plain.sum() - best.sum())
    assert np.abs(found).max() <= limit
    assert set(np.unique(found - floor)) <= {0.0, 1.0}


@pytest.fixture
def graph(sketch):
    return fold(sketch.graph(image_net(sketch)))


LAYER_NAMES = ("conv2d0", "depthwise_conv2d1", "dense6")


def weights_of(whole, name):
    node = next(node for node in whole.nodes if node.name == name)
    return whole.constants[node.inputs[1]].astype(int)


@pytest.mark.parametrize(("bits", "limit"), [(4, 7), (2, 1)])
def test_outputs_come_nearer_on_other_samples_within_the_bits(graph, bits, limit):
    samples, others = (samples_of(graph, 128, seed=seed)["x0"] for seed in (1, 2))
    whole = quantise(graph, samples, weight_bits=dict.fromkeys(LAYER_NAMES, bits))
    made = round_adaptively(graph, whole, Round(iterations=200), Material(calibration=samples))
    verify(made, "integer")
    score = closeness(graph, others)
    assert score(made) > score(whole) + 1
    for name in LAYER_NAMES:
        before, after = weights_of(whole, name), weights_of(made, name)
        assert np.abs(after).max() <= limit
        assert np.abs(after - before).max() <= 1
    assert {n: t.quantisation for n, t in made.tensors.items()} == {n: t.quantisation for n, t in whole.tensors.items()}
    assert digest(made) == digest(round_adaptively(graph, whole, Round(iterations=200), Material(calibration=samples)))


def test_only_layers_of_few_bits_unless_named(graph):
    samples = samples_of(graph, 64)["x0"]
    whole = quantise(graph, samples, weight_bits={"dense6": 4})
    material = Material(calibration=samples)
    made = round_adaptively(graph, whole, Round(iterations=50), material)
    assert [(weights_of(whole, n) == weights_of(made, n)).all() for n in LAYER_NAMES] == [True, True, False]
    named = round_adaptively(graph, whole, Round(iterations=50, nodes=("conv2d0",)), material)
    assert [(weights_of(whole, n) == weights_of(named, n)).all() for n in LAYER_NAMES[1:]] == [True, True]
    plain = quantise(graph, samples)
    assert digest(round_adaptively(graph, plain, Round(), material)) == digest(plain)


def test_a_layer_that_nothing_is_gained_for_stays(sketch):
    weights = np.float32([[7, -3, 2, 1], [1, 7, 0, -5]])  # on the grid already
    graph = sketch.graph(sketch(ops.Dense(), sketch.input(1, 4), weights, ""))
    samples = samples_of(graph, 64)["x0"]
    whole = quantise(graph, samples, weight_bits={"dense0": 4})
    assert (weights_of(whole, "dense0") == weights).all()
    made = round_adaptively(graph, whole, Round(iterations=50), Material(calibration=samples))
    assert (weights_of(made, "dense0") == weights).all()


def test_a_recipe_rounds(graph):
    material = Material(calibration=samples_of(graph, 64)["x0"])
    bits = dict.fromkeys(LAYER_NAMES, 4)
    recipe = Recipe(decisions=(Fold(), Quantise(weight_bits=bits), Round(iterations=50)))
    made = apply(graph, recipe, material)
    whole = quantise(graph, material.calibration, weight_bits=bits)
    assert digest(made) == digest(round_adaptively(graph, whole, Round(iterations=50), material))
    with pytest.raises(UserError, match="no quantisation stands before"):
        apply(graph, Recipe(decisions=(Fold(), Round())), material)


def test_mistakes_are_named(graph, sketch):
    material = Material(calibration=samples_of(graph, 20)["x0"])
    whole = quantise(graph, material.calibration)
    with pytest.raises(UserError, match="conv2d7"):
        round_adaptively(graph, whole, Round(nodes=("conv2d7",)), material)
    with pytest.raises(UserError, match="no integer weights of its own"):
        round_adaptively(graph, whole, Round(nodes=("add2",)), material)


def test_a_layer_that_reads_zeros_stays_as_it_is(graph):
    seen = samples_of(graph, 64)["x0"]
    whole = quantise(graph, seen, weight_bits=dict.fromkeys(LAYER_NAMES, 4))
    made = round_adaptively(graph, whole, Round(iterations=20, nodes=("conv2d0",)), Material(calibration=np.zeros_like(seen)))
    np.testing.assert_array_equal(weights_of(made, "conv2d0"), weights_of(whole, "conv2d0"))
