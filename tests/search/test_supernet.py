from __future__ import annotations

import numpy as np
import torch
from tests.search.nets import examples, net, samples

from marram.core.codec import digest
from marram.core.operators import BatchNorm
from marram.core.recipe import Tuning
from marram.model import interpret
from marram.search.estimation import Judge, error_of, part_of
from marram.search.space import Cutter, decisions_of, least, space_of
from marram.search.supernet import recalibrated, train_supernet
from marram.search.supernet.shared import SharedWeights


def test_a_part_runs_with_its_part_of_the_shared_weights_and_gradients_reach_them():
    space = space_of(net())
    cutter = Cutter(space.graph)
    decisions = decisions_of(space, least(space), cutter)
    module = SharedWeights(cutter, classes=True).eval()
    batch, _ = samples(5)
    given = module.run(decisions, torch.from_numpy(batch))
    (wanted,) = interpret(cutter.cut(decisions).graph, batch)
    assert np.allclose(given.detach().numpy(), wanted, atol=1e-4)
    given.sum().backward()
    touched = {name: value.grad for name, value in module.whole.named_parameters() if value.grad is not None}
    assert touched
    for name, grad in touched.items():
        if grad.dim() == 4 and grad.shape[0] > 8:  # the rows that the part does not have
            assert float(grad[-1].abs().sum()) == 0.0, name


def test_statistics_are_those_of_the_inputs_layer_by_layer():
    graph = net()
    batch, _ = samples(64)
    found = recalibrated(graph, batch)
    seen = {}
    interpret(found, batch, observe=lambda name, value: seen.setdefault(name, []).append(value))
    norms = [node for node in found.nodes if isinstance(node.op, BatchNorm)]
    assert norms
    for node in norms:
        rows = np.concatenate(seen[node.inputs[0]]).reshape(-1, found.tensors[node.inputs[0]].shape[-1]).astype(np.float64)
        assert np.allclose(found.constants[node.inputs[3]], rows.mean(axis=0), atol=1e-4)
        assert np.allclose(found.constants[node.inputs[4]], rows.var(axis=0), rtol=1e-3, atol=1e-5)


def test_training_serves_the_whole_and_the_least_part_and_is_repeatable():
    space = space_of(net())
    tuning = Tuning(epochs=6, learning_rate=5e-3, batch_size=32)
    training, (inputs, targets) = examples(256), samples(128, seed=1)
    trained = train_supernet(space, training, None, tuning)
    assert digest(trained) == digest(train_supernet(space, training, None, tuning))
    cutter = Cutter(trained)
    judge = Judge(graph=trained, calibration=inputs, samples=inputs, targets=targets)
    before = Judge(graph=space.graph, calibration=inputs, samples=inputs, targets=targets)
    smallest = decisions_of(space, least(space), cutter)
    assert error_of(judge, part_of(judge, (), cutter)) < 0.1
    assert error_of(judge, part_of(judge, smallest, cutter)) < 0.35
    assert error_of(before, part_of(before, smallest, Cutter(space.graph))) > 0.4
