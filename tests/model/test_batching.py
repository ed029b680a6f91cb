"""Samples kept apart: the verdict for each operator, and the law that many at once give what one after another gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.model.graphs import INTEGER_OPERATORS, affine, float_graphs, integer_graphs, samples

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor
from marram.model.batching import keeps_samples_apart
from marram.model.reference import interpret

SETTINGS = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck)}


def graph_of(op: ops.Operator, *shapes: tuple[int, ...], output: tuple[int, ...], constants: tuple[int, ...] = ()) -> Graph:
    """One node; ``constants`` are the positions of constant inputs."""
    names = [f"x{index}" for index in range(len(shapes))]
    tensors = {name: Tensor(name=name, shape=shape) for name, shape in zip(names, shapes, strict=True)}
    return Graph(
        name="one",
        inputs=tuple(name for index, name in enumerate(names) if index not in constants),
        outputs=("y",),
        tensors={**tensors, "y": Tensor(name="y", shape=output)},
        constants={names[index]: np.ones(shapes[index], np.float32) for index in constants},
        nodes=(Node(name="n", op=op, inputs=tuple(names), outputs=("y",)),),
    )


APART = {
    "softmax of rows": graph_of(ops.Softmax(), (1, 4), output=(1, 4)),
    "reshape that folds time into rows": graph_of(ops.Reshape(shape=(6, 4)), (1, 6, 4), output=(6, 4)),
    "add of channels": graph_of(ops.Add(), (1, 3, 4), (4,), output=(1, 3, 4), constants=(1,)),
    "add of a whole constant": graph_of(ops.Add(), (1, 3, 4), (1, 3, 4), output=(1, 3, 4), constants=(1,)),
    "product with a constant matrix": graph_of(ops.MatMul(), (1, 3, 4), (4, 2), output=(1, 3, 2), constants=(1,)),
    "constant times batches": graph_of(ops.MatMul(), (2, 3), (1, 3, 4), output=(1, 2, 4), constants=(0,)),
    "product of batches": graph_of(ops.MatMul(), (1, 3, 4), (1, 4, 2), output=(1, 3, 2)),
    "mean over time": graph_of(ops.Mean(axes=(1,)), (1, 3, 4), output=(1, 4)),
    "slice of time": graph_of(ops.Slice(begin=(0, 1), end=(1, 3), strides=(1, 1)), (1, 4), output=(1, 2)),
}
MIXING = {
    "softmax of a vector": graph_of(ops.Softmax(), (4,), output=(4,)),
    "transpose of the leading axis": graph_of(ops.Transpose(permutation=(1, 0)), (1, 4), output=(4, 1)),
    "concatenation of samples": graph_of(ops.Concat(axis=0), (1, 4), (1, 4), output=(2, 4)),
    "mean over samples": graph_of(ops.Mean(axes=(0,)), (1, 4), output=(4,)),
    "sum by a negative axis": graph_of(ops.Sum(axes=(-2,)), (1, 4), output=(4,)),
    "slice of samples": graph_of(ops.Slice(begin=(1, 0), end=(2, 4), strides=(1, 1)), (2, 4), output=(1, 4)),
    "pad of samples": graph_of(ops.Pad(paddings=((1, 0), (0, 0))), (1, 4), output=(2, 4)),
    "split of samples": graph_of(ops.Split(axis=0, sizes=(1,)), (1, 4), output=(1, 4)),
    "rows of both sides": graph_of(ops.MatMul(), (3, 4), (4, 2), output=(3, 2)),
    "transposed rows": graph_of(ops.MatMul(transpose_a=True), (4, 3), (4, 2), output=(3, 2), constants=(1,)),
    "leading axes that differ": graph_of(ops.Add(), (1, 4), (2, 4), output=(2, 4)),
    "ranks that differ": graph_of(ops.Add(), (1, 3, 4), (3, 4), output=(1, 3, 4)),
    "constant with rows": graph_of(ops.Add(), (1, 4), (3, 4), output=(3, 4), constants=(1,)),
}


@pytest.mark.parametrize("name", APART)
def test_apart(name: str) -> None:
    assert keeps_samples_apart(APART[name])


@pytest.mark.parametrize("name", MIXING)
def test_mixing(name: str) -> None:
    assert not keeps_samples_apart(MIXING[name])


@pytest.mark.parametrize("name", [*APART, *MIXING])
def test_many_samples_give_what_single_ones_give(name: str) -> None:
    graph = {**APART, **MIXING}[name]
    inputs = samples(graph, 5, seed=1)
    (together,) = interpret(graph, inputs)
    singles = [interpret(graph, tuple(part[k] for part in map(lambda a: np.split(a, 5), inputs)))[0] for k in range(5)]  # noqa: C417
    np.testing.assert_allclose(together, np.concatenate(singles), rtol=1e-6)


@settings(max_examples=100, **SETTINGS)
@given(graph=integer_graphs(operators=INTEGER_OPERATORS | {ops.LayerNorm}), seed=st.integers(0, 1000))
def test_integers_of_many_samples(graph: Graph, seed: int) -> None:
    inputs = samples(graph, 4, seed=seed)
    together = interpret(graph, inputs)
    singles = [interpret(graph, tuple(array[k : k + 1] for array in inputs)) for k in range(4)]
    for index, output in enumerate(together):
        assert output.tobytes() == np.concatenate([single[index] for single in singles]).tobytes()


@settings(max_examples=60, **SETTINGS)
@given(graph=float_graphs(), seed=st.integers(0, 1000))
def test_floats_of_many_samples(graph: Graph, seed: int) -> None:
    inputs = samples(graph, 4, seed=seed)
    together = interpret(graph, inputs)
    singles = [interpret(graph, tuple(array[k : k + 1] for array in inputs)) for k in range(4)]
    for index, output in enumerate(together):
        expected = np.concatenate([single[index] for single in singles])
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


def test_quantised_along_samples_is_mixing() -> None:
    quantisation = affine(0.1)
    along = Tensor(name="x", shape=(2, 3), dtype="int8", quantisation=quantisation)
    along = type(along)(
        name="x",
        shape=(2, 3),
        dtype="int8",
        quantisation=type(quantisation)(scales=(0.1, 0.2), zero_points=(0, 0), axis=0),
    )
    node = Node(name="n", op=ops.Dequantise(), inputs=("x",), outputs=("y",))
    tensors = {"x": along, "y": Tensor(name="y", shape=(2, 3))}
    graph = Graph(name="d", inputs=("x",), outputs=("y",), tensors=tensors, constants={}, nodes=(node,))
    assert not keeps_samples_apart(graph)
    (found,) = interpret(graph, np.array([[1, 2, 3], [1, 2, 3]] * 2, np.int8))
    np.testing.assert_allclose(found, np.tile(np.array([[0.1, 0.2, 0.3], [0.2, 0.4, 0.6]], np.float32), (2, 1)))
