"""Sensitivities and the assignment of bits: measured as an independent run measures, and near the best of all assignments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.compress.conftest import samples_of
from tests.compress.integers.test_quantisation import real_outputs

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate
from marram.compress import Material, apply, closeness, fold, quantise
from marram.compress.integers.assignment import assign_bits
from marram.compress.integers.precision import sensitivities
from marram.compress.integers.weight_bytes import weight_bytes
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.recipe import Quantise, Recipe, Round
from marram.model.reference import interpret
from marram.model.training import ArrayExamples


@pytest.fixture
def graph(sketch):
    x = sketch.input(1, 8, 8, 4)
    y = sketch(ops.Conv2D(activation="relu"), x, sketch.normal(8, 3, 3, 4, scale=0.2), sketch.normal(8))
    y = sketch(ops.DepthwiseConv2D(padding=(1, 1, 1, 1)), y, sketch.normal(1, 3, 3, 8), sketch.normal(8))
    y = sketch(ops.Conv2D(activation="relu"), y, sketch.normal(16, 1, 1, 8, scale=0.3), sketch.normal(16))
    y = sketch(ops.Conv2D(activation="relu"), y, sketch.normal(8, 3, 3, 16, scale=0.1) ** 3, sketch.normal(8))
    y = sketch(ops.Reshape(shape=(1, 128)), y)
    return fold(sketch.graph(sketch(ops.Dense(), y, sketch.normal(4, 128), sketch.normal(4))))


@pytest.fixture
def material(graph):
    samples = samples_of(graph, 48)["x0"]
    targets = interpret(graph, samples)[0].argmax(axis=1)
    return Material(calibration=samples, validation=ArrayExamples(samples, targets))


LAYERS = ("conv2d0", "depthwise_conv2d1", "conv2d2", "conv2d3", "dense5")


def test_bytes_are_those_that_c_has(graph, material):
    whole = quantise(graph, material.calibration, weight_bits=dict.fromkeys(LAYERS, 4))
    made = generate(whole, FAMILIES["portable"], pack_weights=True)
    assert weight_bytes(whole) == sum(row.weight_bytes for row in made.layers)
    bits = {"conv2d0": 2, "conv2d3": 4}
    saved = [288 * 6 // 8 + 3 * 8, 8 * 9 * 16 // 2 + 3 * 8]
    assert weight_bytes(quantise(graph, material.calibration)) - weight_bytes(
        quantise(graph, material.calibration, weight_bits=bits)
    ) == sum(saved)


def test_sensitivities_are_what_a_run_shows(graph, material):
    found = sensitivities(graph, material, bits=(4, 2))
    assert [(row.nodes, row.bits) for row in found] == [((name,), bits) for name in LAYERS for bits in (4, 2)]
    exact = interpret(graph, material.calibration)[0].astype(float)
    exact -= exact.mean(axis=1, keepdims=True)
    for row in found:
        whole = quantise(graph, material.calibration, weight_bits={row.nodes[0]: row.bits})
        given = real_outputs(whole, material.calibration)[0].astype(float)
        noise = exact - (given - given.mean(axis=1, keepdims=True))
        assert row.closeness_db == pytest.approx((10 * np.log10((exact**2).sum(axis=1) / (noise**2).sum(axis=1))).mean(), 1e-3)
        assert row.accuracy == pytest.approx((given.argmax(axis=1) == exact.argmax(axis=1)).mean())
    lost = {(row.nodes[0], row.bits): row.lost_db for row in found}
    assert all(lost[name, 2] > lost[name, 4] for name in LAYERS)


def test_the_least_harmed_channels_come_first(graph, material):
    halves = sensitivities(graph, material, parts=2)
    assert [len(row.channels) for row in halves[:2]] == [4, 4]
    assert all(row.saved_bytes == 0 for row in halves)
    depthwise = [row for row in halves if row.nodes == ("depthwise_conv2d1",)]
    assert depthwise[0].lost_db < depthwise[1].lost_db
    assert sorted(depthwise[0].channels + depthwise[1].channels) == list(range(8))


@pytest.mark.parametrize("share", [0.9, 0.8, 0.7, 0.6])
def test_the_assignment_is_near_the_best_of_all(graph, material, share):
    near = closeness(graph, material.calibration, limit=48)
    plain = weight_bytes(quantise(graph, material.calibration))
    best = -np.inf
    for flags in itertools.product((8, 4), repeat=len(LAYERS)):
        whole = quantise(graph, material.calibration, weight_bits=dict(zip(LAYERS, flags, strict=True)))
        if weight_bytes(whole) <= share * plain:
            best = max(best, near(whole))
    made = assign_bits(graph, budget_share=share, material=material)
    whole = quantise(graph, material.calibration, weight_bits=made.weight_bits)
    assert weight_bytes(whole) == made.bytes_after <= share * plain
    assert made.bytes_before == plain
    assert near(whole) == pytest.approx(made.closeness_db_after)
    assert made.closeness_db_after > best - 0.5


def test_two_bits_go_further_and_decisions_add_up(graph, material):
    with pytest.raises(UserError, match=r"0\.\d\d\d of their bytes"):
        assign_bits(graph, budget_share=0.4, material=material)
    made = assign_bits(graph, budget_share=0.4, material=material, bits=(4, 2))
    assert made.share <= 0.4
    assert 2 in made.weight_bits.values()
    first, *_, last = made.decisions
    assert first.closeness_db == pytest.approx(made.closeness_db_before - first.lost_db)
    assert (last.weight_bytes, last.closeness_db) == (made.bytes_after, made.closeness_db_after)
    assert made.accuracy_before == 1.0 or made.accuracy_before > made.accuracy_after
    assert made == assign_bits(graph, budget_share=0.4, material=material, bits=(4, 2))


def test_layers_are_measured_as_they_will_be_rounded(graph, material):
    rounding = Round(iterations=100)
    plain, made = (
        assign_bits(graph, budget_share=0.4, material=material, bits=(4, 2), rounding=one) for one in (None, rounding)
    )
    assert made.share <= 0.4
    assert made.closeness_db_after > plain.closeness_db_after - 0.5
    whole = apply(graph, Recipe(decisions=(Quantise(weight_bits=made.weight_bits), rounding)), material)
    # in turn each layer makes good what those before it did, so that what was measured is a lower bound
    assert closeness(graph, material.calibration)(whole) > made.closeness_db_after


def test_layers_can_be_kept_and_a_score_given(graph, material):
    kept = ("conv2d0", "dense5")
    made = assign_bits(graph, budget_share=0.8, material=material, keep=kept)
    assert not {*kept} & {*made.weight_bits}
    asked = assign_bits(graph, budget_share=0.9, material=material, score=lambda whole: -weight_bytes(whole))
    assert asked.share <= 0.9
    sized = assign_bits(graph, budget_share=0.8, material=material, size=lambda whole: weight_bytes(whole) + 1000)
    assert sized.bytes_before == weight_bytes(quantise(graph, material.calibration)) + 1000
    assert sized.share <= 0.8
    fixed = assign_bits(graph, budget_share=0.95, material=material, decision=Quantise(weight_bits={"conv2d3": 4}))
    assert "conv2d3" not in fixed.weight_bits
    with pytest.raises(UserError, match="conv2d9"):
        assign_bits(graph, budget_share=0.8, material=material, keep=("conv2d9",))


def test_shared_weights_go_down_together(sketch):
    weights = sketch.normal(16, 16)
    y = sketch(ops.Dense(), sketch.input(1, 16), weights, "")
    y = sketch(ops.Dense(), y, sketch.nodes[0].inputs[1], "")
    graph = sketch.graph(sketch(ops.Dense(), y, sketch.normal(2, 16), ""))
    made = assign_bits(graph, budget_share=0.8, material=Material(calibration=samples_of(graph, 20)["x0"]))
    assert made.weight_bits["dense0"] == made.weight_bits["dense1"] == 4
    assert made.decisions[0].nodes == ("dense0", "dense1")
    assert made.decisions[0].accuracy is None
