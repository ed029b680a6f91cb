"""Pruning: the share is met, channels that do nothing go first, kept counts suit the kernels; and the steps of replay."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.conftest import Sketch, assert_same_function
from tests.compress.structure.conftest import zoo_graph

from marram.compress import apply
from marram.compress.material import Material
from marram.compress.structure.cutting import narrowed
from marram.compress.structure.downsampling import downsampled
from marram.compress.structure.groups import groups
from marram.compress.structure.kernels import cropped
from marram.compress.structure.pruning import prune
from marram.compress.structure.skipping import skipped
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.recipe import Crop, Downsample, Narrow, Prune, Recipe, Skip, Tuning
from marram.model.counts import counts
from marram.model.reference import interpret
from marram.model.spec import verify
from marram.model.training import ArrayExamples

NOTHING = Material(calibration=np.zeros((1, 1), np.float32))


def same(graph):
    return graph


@pytest.mark.parametrize("share", [0.7, 0.3])
@pytest.mark.parametrize("model", ["conv1d", "resnet8", "transformer", "conv_autoencoder"])
def test_the_share_of_macs_is_met_closely(model, share):
    graph = zoo_graph(model)
    made = prune(graph, Prune(share=share, importance="l2", steps=2), NOTHING, retrain=same)
    verify(made, "float")
    left = counts(made).macs / counts(graph).macs
    assert share - 0.12 <= left <= share
    before = {group.name: group for group in groups(graph)}
    for group in groups(made):
        assert group.size >= before[group.name].size / 8
        assert group.size % 4 == 0 or group.unit > 1


def test_channels_that_do_nothing_go_first():
    """Of a random net with idle channels the same function is left: importance by Taylor finds them."""
    sketch = Sketch(1)
    y, idle = sketch.input(1, 6, 6, 2), {}
    for index, (before, after) in enumerate(((2, 16), (16, 24), (24, 16))):
        weights = sketch.normal(after, 3, 3, before, scale=0.2)
        gone = np.sort(sketch.random.permutation(after)[: after // 2])
        weights[gone] = 0
        y = sketch(ops.Conv2D(padding=(1, 1, 1, 1), activation="relu"), y, weights, "")
        idle[sketch.nodes[index].name] = gone
    y = sketch(ops.Dense(), sketch(ops.Mean(axes=(1, 2)), y), sketch.normal(3, 16), "")
    graph = sketch.graph(y)
    alive = {
        name: np.setdiff1d(np.arange(graph.tensors[f"t{i}_0"].shape[3]), gone) for i, (name, gone) in enumerate(idle.items())
    }
    share = counts(narrowed(graph, alive)).macs / counts(graph).macs
    samples = sketch.normal(64, 6, 6, 2)
    material = Material(calibration=samples, training=ArrayExamples(samples, np.arange(64) % 3))
    made = prune(graph, Prune(share=share, steps=1), material, retrain=same)
    assert {group.name: group.size for group in groups(made)} == {name: len(kept) for name, kept in alive.items()}
    assert_same_function(graph, made)


def test_other_resources_are_what_the_cost_port_says():
    graph = zoo_graph("resnet8")
    material = Material(calibration=NOTHING.calibration, cost=lambda g: {"flash_bytes": counts(g).weight_bytes, "ram_bytes": 1})
    made = prune(graph, Prune(resource="flash_bytes", share=0.5, importance="batch_norm", steps=1), material, retrain=same)
    assert 0.44 <= counts(made).weight_bytes / counts(graph).weight_bytes <= 0.5
    with pytest.raises(UserError, match="cannot be reached") as told:
        prune(graph, Prune(resource="ram_bytes", share=0.5, importance="l2"), material, retrain=same)
    assert "1.000" in str(told.value.hint)
    with pytest.raises(UserError, match="instructions costs is not known"):
        prune(graph, Prune(resource="instructions", share=0.5), NOTHING, retrain=same)
    with pytest.raises(UserError, match="steps is 0"):
        prune(graph, Prune(share=0.5, steps=0), NOTHING, retrain=same)


def test_every_step_trains_on_and_a_whole_share_changes_nothing():
    graph, seen = zoo_graph("conv1d"), []

    def note(narrow):
        seen.append(counts(narrow).macs / counts(graph).macs)
        return narrow

    prune(graph, Prune(share=0.25, importance="l2", steps=3), NOTHING, retrain=note)
    assert len(seen) == 3
    for part, left in zip((1 / 3, 2 / 3, 1), seen, strict=True):
        assert 0.8 * 0.25**part < left <= 0.25**part
    assert digest(prune(graph, Prune(share=1.0, importance="l2"), NOTHING, retrain=same)) == digest(graph)


def test_replay_changes_the_architecture_as_the_functions_do():
    graph = zoo_graph("ds_cnn")
    whole = apply(
        graph,
        Recipe(
            decisions=(
                Skip(spans=("blocks.2.1.2",)),
                Crop(kernels={"stem.0": (5, 3)}),
                Downsample(factor=(1, 2)),
                Narrow(keep={"stem.0": 16}, importance="first"),
            )
        ),
        NOTHING,
    )
    by_hand = downsampled(cropped(skipped(graph, ["blocks.2.1.2"]), {"stem.0": (5, 3)}), (1, 2))
    assert digest(whole) == digest(narrowed(by_hand, {"stem.0": np.arange(16)}))


def test_replay_prunes_with_fine_tuning_and_keeps_a_task_learnt():
    """Two classes that one feature tells apart; a net that has learnt them is cut to a third."""
    random = np.random.default_rng(0)
    samples = random.normal(size=(256, 12)).astype(np.float32)
    targets = (samples[:, 0] * samples[:, 1] > 0).astype(np.int64)
    sketch = Sketch(2)
    y = sketch(ops.Dense(), sketch.input(1, 12), sketch.normal(48, 12, scale=0.3), sketch.normal(48, scale=0.1))
    y = sketch(
        ops.Dense(activation="relu"), sketch(ops.Relu(), y), sketch.normal(32, 48, scale=0.15), sketch.normal(32, scale=0.1)
    )
    graph = sketch.graph(sketch(ops.Dense(), y, sketch.normal(2, 32, scale=0.2), sketch.normal(2)))
    examples = ArrayExamples(samples, targets)
    material = Material(calibration=samples, training=examples, validation=examples)
    decision = Prune(share=0.33, steps=2, tuning=Tuning(epochs=12, learning_rate=2e-2, batch_size=32))
    made = apply(graph, Recipe(decisions=(decision,)), material)
    assert counts(made).macs <= 0.33 * counts(graph).macs
    assert (interpret(made, samples)[0].argmax(axis=1) == targets).mean() > 0.9
    assert digest(apply(graph, Recipe(decisions=(decision,)), material)) == digest(made)
