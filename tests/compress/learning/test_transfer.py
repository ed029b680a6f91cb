"""Transfer: a fresh head on a known backbone, trained alone first, then all together."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.learning.tasks import accuracy, dense_net, material, student, windows

from marram.compress import backbone_nodes, fine_tune, fold, replace_head
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.errors import UserError
from marram.core.recipe import Tuning
from marram.model import load, save
from marram.model.reference import interpret

TUNING = Tuning(epochs=8, batch_size=16, learning_rate=1e-2)
SPEEDS = (0.2, 0.55, 1.1, 1.9)


def test_a_backbone_serves_another_task_frozen_then_thawed():
    graph = fine_tune(student(), original=student(), tuning=TUNING, material=material())
    fresh = replace_head(graph, 4, seed=0)
    backbone = backbone_nodes(fresh)
    given = material(training=windows(96, 5, speeds=SPEEDS), validation=windows(60, 6, speeds=SPEEDS))
    held = fine_tune(fresh, original=graph, tuning=TUNING, material=given, frozen=backbone)
    changed = {name for name in held.constants if not np.array_equal(held.constants[name], fresh.constants[name])}
    assert changed == set(fresh.nodes[-1].inputs[1:])
    test = windows(80, 8, speeds=SPEEDS)
    thawed = fine_tune(fresh, original=graph, tuning=TUNING, material=given, frozen=backbone, thaw_epoch=4)
    assert accuracy(held, test) > accuracy(fresh, test) + 0.15
    assert accuracy(thawed, test) > accuracy(held, test)


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_heads_of_files_are_replaced(tmp_path, sketch, suffix):
    graph = dense_net(sketch, softmax=1.0, norm=False)
    path = tmp_path / f"model{suffix}"
    save(graph, path)
    loaded = load(path)
    fresh = replace_head(loaded, 5, seed=1)
    assert fresh.output_tensors[0].shape == (1, 5)
    scores = interpret(fresh, np.zeros((2, 16, 3), np.float32))[0]
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert len(backbone_nodes(fresh)) == 1


def test_what_stands_before_the_head_is_kept(sketch):
    graph = dense_net(sketch, softmax=1.0)
    fresh = replace_head(graph, 7, seed=0)
    last = next(node for node in reversed(graph.nodes) if isinstance(node.op, ops.Dense))
    kept = [name for name in graph.constants if name not in last.inputs]
    assert all(np.array_equal(fresh.constants[name], graph.constants[name]) for name in kept)
    weights, bias = (fresh.constants[name] for name in next(n for n in fresh.nodes if n.name == last.name).inputs[1:])
    assert weights.shape == (7, 8)
    assert 0.9 / np.sqrt(8) < np.abs(weights).max() <= 1 / np.sqrt(8)
    assert not bias.any()
    assert backbone_nodes(graph) == backbone_nodes(fresh) == (graph.nodes[1].name, graph.nodes[2].name)
    assert digest(replace_head(graph, 7, seed=0)) == digest(fresh) != digest(replace_head(graph, 7, seed=1))


def test_a_convolution_with_a_mean_behind_it_is_a_head(sketch):
    x = sketch.input(1, 4, 4, 2)
    y = sketch(ops.Conv2D(), x, sketch.normal(3, 1, 1, 2), sketch.normal(3))
    graph = sketch.graph(sketch(ops.Softmax(), sketch(ops.Mean(axes=(1, 2)), y)))
    fresh = replace_head(graph, 6, seed=0)
    assert fresh.output_tensors[0].shape == (1, 6)
    assert backbone_nodes(fresh) == ()


def test_shared_weights_of_the_old_head_stay_with_others(sketch):
    x = sketch.input(1, 4)
    first = sketch(ops.Dense(), x, sketch.normal(4, 4), "")
    graph = sketch.graph(sketch(ops.Dense(), sketch(ops.Relu(), first), "c0", ""))
    fresh = replace_head(graph, 4, seed=0)
    assert np.array_equal(fresh.constants["c0"], graph.constants["c0"])
    assert fresh.nodes[-1].inputs[1] != "c0"


def test_graphs_without_a_head_are_refused(sketch):
    x = sketch.input(1, 4)
    y = sketch(ops.MatMul(), x, sketch.normal(4, 3))
    graph = sketch.graph(y)
    with pytest.raises(UserError, match="in MatMul"):
        replace_head(graph, 3, seed=0)
    assert replace_head(fold(graph), 5, seed=0).output_tensors[0].shape == (1, 5)
    with pytest.raises(UserError, match="at least 2 classes"):
        replace_head(graph, 1, seed=0)
    with pytest.raises(UserError, match="2 outputs"):
        backbone_nodes(sketch.graph(y, x))
