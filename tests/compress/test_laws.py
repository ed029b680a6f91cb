"""Laws over random graphs: folding and equalising keep the function, quantising gives a legal graph that is near and exact.

Each seed is one graph; a failure names it.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.compress.conftest import assert_same_function, samples_of
from tests.compress.random_graphs import random_graph

from marram.compress import correct_bias, equalise, fold, quantise
from marram.compress.integers.grid import to_integers, to_reals
from marram.core import operators as ops
from marram.core.graph import producers
from marram.model.reference import interpret
from marram.model.spec import verify

SEEDS = [*range(40), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(40, 2000))]


def noise(graph, whole, samples):
    """Root mean square error of the worst output, as a share of 6 % of its values' size and one step.

    A sum or difference is as noisy as its operands, however small they make each other, so their size counts there too.
    """
    (source,) = whole.input_tensors
    given = interpret(whole, to_integers(samples, source.quantisation))
    sizes = {}
    interpret(graph, samples, observe=lambda name, array: sizes.update({name: max(size(array), sizes.get(name, 0.0))}))
    writers = producers(graph)
    worst = 0.0
    for name, exact, array, tensor in zip(graph.outputs, interpret(graph, samples), given, whole.output_tensors, strict=True):
        error = np.sqrt(((to_reals(array, tensor.quantisation) - exact) ** 2).mean())
        operands = writers[name].inputs if isinstance(writers[name].op, ops.Add | ops.Sub) else ()
        largest = max([size(exact), *(sizes.get(operand, 0.0) for operand in operands)])
        worst = max(worst, error / (0.06 * largest + tensor.quantisation.scale))
    return worst


def size(array):
    return max(float(np.ptp(array)), float(np.abs(array).max()))


@pytest.mark.parametrize("seed", SEEDS)
def test_folding_and_equalising_keep_the_function(seed):
    graph = random_graph(seed, nodes=10)
    folded = fold(graph)
    # a batch norm that no layer can take becomes a Mul and an Add, everything else gets fewer
    norms = sum(isinstance(node.op, ops.BatchNorm) for node in graph.nodes)
    assert len(folded.nodes) <= len(graph.nodes) + norms
    assert_same_function(graph, folded, tolerance=1e-4)
    assert fold(folded) == folded
    assert_same_function(folded, equalise(folded), tolerance=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_quantising_is_legal_and_near(seed):
    graph = random_graph(seed)
    samples = samples_of(graph, 64)["x0"]
    whole = quantise(graph, samples)
    verify(whole, "integer")
    assert noise(graph, whole, samples) < 1
    corrected = correct_bias(fold(graph), whole, samples)
    verify(corrected, "integer")
    assert noise(graph, corrected, samples) < 1


def differing_bytes(whole, seed):
    """Output elements in which TensorFlow Lite Micro and the reference differ on random integers."""
    from tflite_micro import runtime

    from marram.model.tflite import write

    shape = whole.input_tensors[0].shape
    inputs = np.random.default_rng(seed).integers(-128, 128, size=(4, *shape[1:])).astype(np.int8)
    interpreter = runtime.Interpreter.from_bytes(write(whole), arena_size=1 << 20)
    ours = interpret(whole, inputs)
    count = 0
    for place, one in enumerate(inputs):
        interpreter.set_input(one[None], 0)
        interpreter.invoke()
        count += sum(int((interpreter.get_output(i)[0] != array[place]).sum()) for i, array in enumerate(ours))
    return count


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_quantised_computes_the_same_bytes_in_tflite_micro(seed):
    graph = random_graph(seed)
    assert differing_bytes(quantise(graph, samples_of(graph, 32)["x0"]), seed) == 0
