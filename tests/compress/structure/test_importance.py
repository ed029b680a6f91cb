"""Importance: scores against what leaving a channel out does, and against sums written out."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.conftest import Sketch
from tests.compress.structure.conftest import masked, zoo_graph

from marram.compress.material import Material
from marram.compress.structure.groups import groups
from marram.compress.structure.importance import importance, most_important, narrowest
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import with_nodes
from marram.model.reference import interpret
from marram.model.training import ArrayExamples

NOTHING = Material(calibration=np.zeros((1, 1), np.float32))


def losses(graph, samples, targets):
    """Cross entropy of each sample, in float64."""
    logits = interpret(graph, samples)[0].astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]


def softly_masked(graph, found, name, channel, left):
    """The masked graph whose gates are ``left`` instead of 0."""
    group = next(group for group in found if group.name == name)
    gone = masked(graph, found, {name: np.delete(np.arange(group.size), channel)})
    soft = {gate: np.where(value == 0, left, 1).astype(np.float32) for gate, value in gone.constants.items() if "gate " in gate}
    return with_nodes(gone, gone.nodes, constants=soft)


@pytest.mark.parametrize("model", ["conv1d", "resnet8", "transformer"])
def test_taylor_is_the_derivative_of_the_loss_by_the_gates(model):
    graph, random = zoo_graph(model), np.random.default_rng(0)
    samples = random.normal(size=(6, *graph.input_tensors[0].shape[1:])).astype(np.float32)
    targets = random.integers(0, 4, 6)
    found = groups(graph)
    material = Material(calibration=samples, training=ArrayExamples(samples, targets))
    scores = importance(graph, found, "taylor", material)
    step = 2.0**-8
    for group in [group for group in found if group.exact][::4]:
        for channel in (0, group.size // 2, group.size - 1):
            more, less = (
                losses(softly_masked(graph, found, group.name, channel, 1 + sign * step), samples, targets) for sign in (1, -1)
            )
            expected = np.abs(more - less).mean() / (2 * step)
            assert scores[group.name][channel] == pytest.approx(expected, rel=0.05, abs=1e-4)


def test_taylor_of_a_reconstruction_takes_the_input_as_target():
    graph = zoo_graph("fc_autoencoder")
    samples = np.random.default_rng(0).normal(size=(8, 32)).astype(np.float32)
    material = Material(calibration=samples, training=ArrayExamples(samples), classes=False)
    scores = importance(graph, groups(graph), "taylor", material)
    assert all((score >= 0).all() and score.max() > 0 for score in scores.values())
    with pytest.raises(UserError, match="no training examples"):
        importance(graph, groups(graph), "taylor", NOTHING)


def test_channels_that_nothing_hears_of_score_zero():
    sketch = Sketch()
    rows = sketch.normal(6, 4)
    columns = sketch.normal(3, 6)
    columns[:, [1, 4]] = 0
    y = sketch(ops.Dense(activation="relu"), sketch.input(1, 4), rows, sketch.normal(6))
    graph = sketch.graph(sketch(ops.Dense(), y, columns, ""))
    samples = sketch.normal(50, 4)
    material = Material(calibration=samples, training=ArrayExamples(samples, np.arange(50) % 3))
    scores = importance(graph, groups(graph), "taylor", material)["dense0"]
    np.testing.assert_array_equal(np.flatnonzero(scores == 0), [1, 4])


def test_norms_are_of_all_that_makes_a_channel():
    graph = zoo_graph("resnet8")
    found = {group.name: group for group in groups(graph)}
    scores = importance(graph, found.values(), "l2", NOTHING)
    squares = sum((graph.constants[f"{name}.weight"] ** 2).sum(axis=(1, 2, 3)) for name in ("stem.0", "stack1.second.0"))
    np.testing.assert_allclose(scores["stem.0"], np.sqrt(squares), rtol=1e-5)
    scales = importance(graph, found.values(), "batch_norm", NOTHING)
    gammas = sum(np.abs(graph.constants[f"{name}.weight"]) for name in ("stem.1", "stack1.second.1"))
    np.testing.assert_allclose(scales["stem.0"], gammas, rtol=1e-5)
    heads = importance(zoo_graph("transformer"), groups(zoo_graph("transformer")), "l2", NOTHING)
    assert heads["blocks.0.attention.query"].shape == (4,)


def test_first_channels_are_the_most_important_ones():
    graph = zoo_graph("ds_cnn")
    keep = narrowest(graph, {"stem.0": 24, "blocks.1.1.0": 64}, "first", NOTHING)
    np.testing.assert_array_equal(keep["stem.0"], np.arange(24))
    assert len(keep["blocks.1.1.0"]) == 64


def test_equal_scores_keep_the_first():
    np.testing.assert_array_equal(most_important(np.array([1.0, 3.0, 1.0, 3.0, 2.0]), 4), [0, 1, 3, 4])


def test_what_cannot_be_scored_or_kept_is_refused():
    graph = zoo_graph("transformer")
    with pytest.raises(UserError, match="no batch norm"):
        importance(graph, groups(graph), "batch_norm", NOTHING)
    with pytest.raises(UserError, match="no group 'norm'"):
        narrowest(graph, {"norm": 3}, "first", NOTHING)
    with pytest.raises(UserError, match="cannot keep 5 of 4"):
        narrowest(graph, {"blocks.0.attention.query": 5}, "first", NOTHING)
