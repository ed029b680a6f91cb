"""Next steps: damage that was planted is found where it was planted, and the suggested recipe repairs it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.compress.conftest import Sketch, samples_of

from marram.compress import Material, applied, closeness, fold
from marram.compress.integers.layer_facts import layer_facts
from marram.compress.integers.next_steps import Symptom, findings
from marram.core import operators as ops
from marram.core.recipe import Equalise, Fold, Quantise, Recipe, TrainQuantised

PLAIN = Recipe(decisions=(Fold(), Quantise()))


def chain(sketch, layers):
    """Convolutions whose values stay of one size; the last tensor."""
    y, channels = sketch.input(1, 8, 8, 3), 3
    for _ in range(layers):
        weights = sketch.normal(8, 3, 3, channels, scale=(2 / (9 * channels)) ** 0.5)
        y = sketch(ops.Conv2D(activation="relu", padding=(1, 1, 1, 1)), y, weights, sketch.normal(8, scale=0.1))
        channels = 8
    return y


def headed(sketch, y):
    pooled = sketch(ops.Mean(axes=(1, 2)), y)
    return sketch.graph(sketch(ops.Dense(), pooled, sketch.normal(5, 8), sketch.normal(5)))


@pytest.fixture(scope="module")
def graph():
    sketch = Sketch()
    return headed(sketch, chain(sketch, 6))


def calibration(graph):
    return samples_of(graph, 200, seed=2)["x0"]


def examined(graph, recipe, calibrated, samples=None):
    """Facts, symptom and findings of a graph by a recipe; the symptom says that answers flip."""
    samples = samples_of(graph, 60)["x0"] if samples is None else samples
    standing = applied(graph, recipe, Material(calibration=calibrated))
    facts = layer_facts(standing.exact, standing.integer, samples)
    symptom = Symptom(closeness_db=closeness(fold(graph), samples)(standing.integer), flips=0.05)
    return facts, symptom, findings(facts, symptom, recipe)


def repaired(graph, recipe, calibrated, samples=None):
    samples = samples_of(graph, 60)["x0"] if samples is None else samples
    integer = applied(graph, recipe, Material(calibration=calibrated)).integer
    return closeness(fold(graph), samples)(integer)


def test_shares_are_those_of_the_noise(graph):
    facts, _, _ = examined(graph, PLAIN, calibration(graph))
    assert [one.node for one in facts] == [node.name for node in graph.nodes]
    assert sum(one.noise_share for one in facts) == pytest.approx(1.0)
    by_noise = sorted(facts, key=lambda one: one.noise_share)
    assert [one.alone_db for one in by_noise] == sorted((one.alone_db for one in facts), reverse=True)
    assert facts[1].inputs == (facts[0].node,)
    assert facts[-1].fixed
    assert all(one.weight_db > 40 for one in facts if one.weight_db is not None)


def test_nothing_wrong_is_said(graph):
    facts, symptom, _ = examined(graph, PLAIN, calibration(graph))
    for sound in (
        msgspec.structs.replace(symptom, flips=0.0),
        msgspec.structs.replace(symptom, flips=0.01, accuracy_before=0.9, accuracy_after=0.9),
        Symptom(closeness_db=30.0),
    ):
        assert [one.rule for one in findings(facts, sound, PLAIN)] == ["sound"]
    for ill in (
        Symptom(closeness_db=29.0),
        msgspec.structs.replace(symptom, flips=0.005, accuracy_before=0.9, accuracy_after=0.89),
    ):
        assert [one.rule for one in findings(facts, ill, PLAIN)] != ["sound"]


def test_a_calibration_that_cuts_too_much(graph):
    recipe = Recipe(decisions=(Fold(), Quantise(calibration="percentile", percentile=90.0)))
    _, symptom, (found,) = examined(graph, recipe, calibration(graph))
    assert found.rule == "saturation"
    (step,) = found.recipes
    assert step == PLAIN or step.decisions[1].calibration == "min_max"
    assert repaired(graph, step, calibration(graph)) > symptom.closeness_db + 10


def test_samples_that_reach_farther_than_the_calibration(graph):
    _, _, (found,) = examined(graph, PLAIN, 0.2 * calibration(graph))
    assert (found.rule, found.recipes) == ("saturation", ())
    assert "more samples" in found.step


def test_spikes_in_the_input(graph):
    spiky = [calibration(graph), samples_of(graph, 60)["x0"]]
    random = np.random.default_rng(0)
    for values in spiky:
        values[random.random(values.shape) < 2e-4] *= 60
    _, symptom, (found,) = examined(graph, PLAIN, *spiky)
    assert found.rule == "outliers"
    assert found.nodes[0] == graph.nodes[0].name
    quiet = samples_of(graph, 60)["x0"]
    wasted = repaired(graph, PLAIN, spiky[0], quiet)
    assert max(repaired(graph, step, spiky[0], quiet) for step in found.recipes) > wasted + 3
    assert symptom.closeness_db < 35


def test_weights_of_two_bits(graph):
    bad = graph.nodes[2].name
    recipe = Recipe(decisions=(Fold(), Quantise(weight_bits={bad: 2, graph.nodes[3].name: 8})))
    _, symptom, (found,) = examined(graph, recipe, calibration(graph))
    assert (found.rule, found.nodes) == ("coarse_weights", (bad,))
    wider = found.recipes[0]
    assert wider.decisions[1].weight_bits == {graph.nodes[3].name: 8}
    assert repaired(graph, wider, calibration(graph)) > symptom.closeness_db + 10


def test_a_channel_that_reaches_much_farther(graph):
    first, second = graph.nodes[1], graph.nodes[2]
    constants = {name: values.copy() for name, values in graph.constants.items()}
    constants[first.inputs[1]][0] *= 64
    constants[first.inputs[2]][0] *= 64
    constants[second.inputs[1]][..., 0] /= 64
    planted = msgspec.structs.replace(graph, constants=constants)
    facts, symptom, (found,) = examined(planted, PLAIN, calibration(graph))
    assert (found.rule, found.nodes) == ("unequal_channels", (first.name,))
    assert facts[1].channel_ratio > 40
    (step,) = found.recipes
    assert step.decisions == (Fold(), Equalise(), Quantise())
    assert repaired(planted, step, calibration(graph)) > symptom.closeness_db + 5
    again = findings(facts, symptom, step)  # were it still so after equalisation, it would not be suggested twice
    assert again[0].recipes[0].decisions[2].activation_bits == {first.name: 16}


def test_a_narrow_tensor_beside_a_wide_one():
    sketch = Sketch(5)
    y = chain(sketch, 4)
    wide = sketch(ops.Mul(), y, np.full((1, 1, 1, 8), 100.0))
    both = sketch(ops.Concat(axis=3), wide, y)
    weights = sketch.normal(8, 1, 1, 16, scale=0.3)
    weights[..., :8] /= 100
    planted = headed(sketch, sketch(ops.Conv2D(activation="relu"), both, weights, sketch.normal(8, scale=0.1)))
    _, _, (found,) = examined(planted, PLAIN, calibration(planted))
    assert (found.rule, found.nodes) == ("shared_scale", (planted.nodes[3].name,))
    assert found.recipes[0].decisions[1].activation_bits == {planted.nodes[3].name: 16}


def test_one_layer_without_a_cause():
    sketch = Sketch(3)
    y = chain(sketch, 7)
    large = sketch(ops.Mul(), y, np.full((1, 1, 1, 8), 50.0))
    kept = sketch(ops.Sub(), sketch(ops.Add(), large, y), large)  # the little that matters drowns in the rounding of the sum
    last = sketch(ops.Conv2D(activation="relu"), kept, sketch.normal(8, 1, 1, 8, scale=0.3), sketch.normal(8, scale=0.1))
    planted = headed(sketch, last)
    _, symptom, (found,) = examined(planted, PLAIN, calibration(planted))
    addition = next(node.name for node in planted.nodes if isinstance(node.op, ops.Add))
    assert (found.rule, found.nodes) == ("few_layers", (addition,))
    wide, floats = found.recipes
    assert wide.decisions[1].activation_bits == {addition: 16}
    assert floats.decisions[1].keep_float == (addition,)
    assert symptom.closeness_db < 120


def test_all_layers_alike(graph):
    facts, symptom, _ = examined(graph, PLAIN, calibration(graph))
    even = [msgspec.structs.replace(one, noise_share=1 / len(facts)) for one in facts]
    (found,) = findings(even, symptom, PLAIN)
    assert found.rule == "all_alike"
    (step,) = found.recipes
    assert isinstance(step.decisions[-1], TrainQuantised)
    (again,) = findings(even, symptom, step)
    assert again.recipes == ()
