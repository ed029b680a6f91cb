"""Step sizes: gradients by the paper's formula, ties that hold, and bounds that kernels can follow."""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.learning.quantised.parity import disturb

from marram.compress import quantise
from marram.compress.learning.quantised.legality import legal, rules
from marram.compress.learning.quantised.module import QuantisedGraph
from marram.compress.learning.quantised.ties import groups
from marram.compress.learning.quantised.weights import StepSizes, Weights
from marram.core import operators as ops
from marram.core.codec import digest
from marram.core.graph import Quantisation


def test_the_gradient_of_a_weights_step_is_that_of_the_paper():
    """Esser et al., equation 3: round(v / s) - v / s inside, the greatest integers outside, times 1 / sqrt(n * Qp)."""
    reals = np.array([[0.1, -0.26, 0.84, 2.0], [-3.0, 0.33, 0.0, 0.49]], np.float32)
    quantisation = Quantisation(scales=(0.1, 0.2), zero_points=(0, 0), axis=0)
    codes = np.clip(np.round(reals / np.array([[0.1], [0.2]], np.float32)), -7, 7).astype(np.int8)
    weights = Weights(codes, quantisation, reals, bits=4, learn=True)
    np.testing.assert_array_equal(weights(weights.steps()).detach().numpy(), codes)
    steps = weights.steps()
    (weights(steps) * steps[:, None]).sum().backward()
    for channel, scale in enumerate((0.1, 0.2)):
        v = reals[channel] / np.float32(scale)
        slopes = np.where(np.abs(v) < 7, np.round(v) - v, 7 * np.sign(v))
        wanted = slopes.sum() / np.sqrt(4 * 7) * scale  # by the chain rule of exp
        assert float(weights.steps.logarithms.grad[channel]) == pytest.approx(wanted, rel=1e-4)
    inside = np.abs(reals / np.array([[0.1], [0.2]])) < 7
    np.testing.assert_allclose(weights.reals.grad.numpy(), inside, atol=1e-6)


def test_steps_begin_bit_for_bit_and_fixed_ones_stay():
    scales = np.array([0.1, 1e-9, 3.7], np.float32)
    steps = StepSizes(scales, np.ones(3), np.array([True, True, False]))
    assert np.array_equal(steps().detach().numpy(), scales)
    steps().sum().backward()
    assert float(steps.logarithms.grad[2]) == 0
    steps.move(np.array([0.2, 1e-8, 9.0]))
    np.testing.assert_allclose(steps().detach().numpy(), [0.2, 1e-8, 3.7], rtol=1e-6)


def small(sketch):
    """A convolution whose output is pooled and joined to a sigmoid's, and another branch that is added."""
    x = sketch.input(1, 6, 6, 2)
    a = sketch(ops.Conv2D(activation="relu"), x, sketch.normal(3, 1, 1, 2), sketch.normal(3))
    b = sketch(ops.MaxPool2D(kernel=(2, 2), stride=(2, 2)), a)
    c = sketch(ops.Conv2D(stride=(2, 2)), x, sketch.normal(3, 2, 2, 2), "")
    d = sketch(ops.Add(), b, c)
    e = sketch(ops.Concat(axis=3), sketch(ops.Sigmoid(), d), sketch(ops.Conv2D(), d, sketch.normal(2, 1, 1, 3), ""))
    graph = sketch.graph(sketch(ops.Mean(axes=(1, 2)), e))
    return graph, (a, b, c, d, e)


def test_ties_follow_the_operators(sketch):
    graph, (a, b, c, _, _) = small(sketch)
    integer = quantise(graph, sketch.normal(16, 6, 6, 2))
    found = {name: group for group in groups(integer) for name in group.tensors}
    assert found[a] is found[b]
    assert found[a] is not found[c]
    sigmoid = next(node for node in integer.nodes if isinstance(node.op, ops.Sigmoid))
    assert not found[sigmoid.outputs[0]].learnt
    assert found[a].learnt
    assert found["x0"].learnt
    assert not {name: group for group in groups(integer, given=("x0",)) for name in group.tensors}["x0"].learnt
    module = disturb(QuantisedGraph(integer, graph), 1)
    changed = module.graph()
    assert changed.tensors[a].quantisation == changed.tensors[b].quantisation != integer.tensors[a].quantisation
    assert changed.tensors[sigmoid.outputs[0]].quantisation == integer.tensors[sigmoid.outputs[0]].quantisation
    for name, tensor in changed.tensors.items():
        if tensor.quantisation is not None:
            assert tensor.quantisation.zero_points == integer.tensors[name].quantisation.zero_points


def factors(integer):
    """Input scale * weight scale / output scale of every channel of every convolution."""
    for node in integer.nodes:
        if isinstance(node.op, ops.Conv2D):
            q = [integer.tensors[name].quantisation for name in (node.inputs[0], node.inputs[1], node.outputs[0])]
            yield from (q[0].scale * scale / q[2].scale for scale in q[1].scales)


@pytest.mark.parametrize("seed", range(5))
def test_scales_that_kernels_cannot_follow_are_moved(sketch, seed):
    graph, _ = small(sketch)
    integer = quantise(graph, sketch.normal(16, 6, 6, 2))
    assert all(2.0**-20 < factor <= 1 for factor in factors(integer))
    module = disturb(QuantisedGraph(integer, graph), seed, size=6.0)
    changed = module.graph()
    assert all(2.0**-20 * 0.999 < factor <= 1.00001 for factor in factors(changed))
    add = next(node for node in changed.nodes if isinstance(node.op, ops.Add))
    scales = [changed.tensors[name].quantisation.scale for name in (*add.inputs, *add.outputs)]
    assert scales[2] >= max(scales[:2]) * 2.0**-12 * 0.999
    assert digest(module.graph()) == digest(changed)


def test_legal_scales_are_returned_as_they_came(sketch):
    graph, _ = small(sketch)
    integer = quantise(graph, sketch.normal(16, 6, 6, 2))
    found = groups(integer)
    scales = np.array([group.quantisation.scale for group in found])
    layers = {
        node.inputs[1]: np.array(integer.tensors[node.inputs[1]].quantisation.scales)
        for node in integer.nodes
        if isinstance(node.op, ops.Conv2D)
    }
    after, moved = legal(rules(integer, found), scales, layers, learnt=[group.learnt for group in found])
    assert np.array_equal(after, scales)
    assert all(moved[name] is layers[name] for name in layers)
