"""Running: inputs checked, observers called, memory freed, errors that name their place."""

from __future__ import annotations

import numpy as np
import pytest
from tests.model.graphs import affine

from marram.core import operators as ops
from marram.core.errors import DataError, UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.model.reference import interpret, prepare, run


def two_layers(*, dtype: str = "float32") -> Graph:
    """y = relu(x + b)."""
    quantisation = affine(0.1) if dtype == "int8" else None
    tensors = [Tensor(name=name, shape=(1, 3), dtype=dtype, quantisation=quantisation) for name in ("x", "b", "s", "y")]
    nodes = (
        Node(name="sum", op=ops.Add(), inputs=("x", "b"), outputs=("s",)),
        Node(name="act", op=ops.Relu(), inputs=("s",), outputs=("y",)),
    )
    constants = {"b": np.array([[1, 2, 3]], dtype)}
    return Graph(
        name="two", inputs=("x",), outputs=("y",), tensors={t.name: t for t in tensors}, constants=constants, nodes=nodes
    )


def test_inputs_by_position_name_and_alone() -> None:
    graph = two_layers()
    x = np.array([[-5, 0, 1]], np.float32)
    for inputs in (x, [x], (x,), {"x": x}):
        (y,) = interpret(graph, inputs)
        assert y.tolist() == [[0, 2, 4]]


def test_any_number_of_samples_and_blocks() -> None:
    graph = two_layers()
    x = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    prepared = prepare(graph)
    assert prepared.block < 1000
    (y,) = run(prepared, x)
    np.testing.assert_array_equal(y, np.maximum(x + np.float32([1, 2, 3]), 0))


def test_inputs_are_not_changed() -> None:
    x = np.ones((4, 3), np.float32)
    before = x.copy()
    interpret(two_layers(), x)
    np.testing.assert_array_equal(x, before)


def test_observer_sees_each_computed_tensor_in_order() -> None:
    seen = []
    interpret(two_layers(), np.zeros((2, 3), np.float32), observe=lambda name, array: seen.append((name, array.shape)))
    assert seen == [("s", (2, 3)), ("y", (2, 3))]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (np.zeros((1, 4), np.float32), r"input x: expected shape \(1 x samples, 3\), got \(1, 4\)"),
        (np.zeros((0, 3), np.float32), "got \\(0, 3\\)"),
        (np.zeros(3, np.float32), "got \\(3,\\)"),
        (np.zeros((1, 3)), "expected float32, got float64"),
        ([np.zeros((1, 3), np.float32)] * 2, "2 inputs for 1"),
        ({"z": np.zeros((1, 3), np.float32)}, "missing \\['x'\\], unknown \\['z'\\]"),
        ([[1.0, 2.0, 3.0]], "expected a numpy array"),
    ],
)
def test_wrong_inputs_are_named(inputs: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        interpret(two_layers(), inputs)


def test_not_a_number_is_refused() -> None:
    with pytest.raises(DataError, match="input x: holds NaN or infinity"):
        interpret(two_layers(), np.array([[0, np.nan, 1]], np.float32))


def test_different_numbers_of_samples_are_refused() -> None:
    graph = two_layers()
    graph = Graph(name="two", inputs=("x", "b"), outputs=("y",), tensors=graph.tensors, constants={}, nodes=graph.nodes)
    with pytest.raises(UserError, match="x: 2, b: 3"):
        interpret(graph, [np.zeros((2, 3), np.float32), np.zeros((3, 3), np.float32)])


def changed(graph: Graph, **tensors: Tensor) -> Graph:
    return Graph(
        name=graph.name,
        inputs=graph.inputs,
        outputs=graph.outputs,
        tensors={**graph.tensors, **tensors},
        constants=graph.constants,
        nodes=graph.nodes,
    )


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (Tensor(name="s", shape=(1, 3), dtype="int8"), "node sum \\(add\\): tensor s is int8 and has no quantisation"),
        (Tensor(name="s", shape=(1, 3)), "there is no rule from int8 to float32"),
        (
            Tensor(
                name="s",
                shape=(1, 3),
                dtype="int8",
                quantisation=Quantisation(scales=(1.0, 2.0, 3.0), zero_points=(0, 0, 0), axis=1),
            ),
            "tensor s must have one scale and has 3",
        ),
        (Tensor(name="s", shape=(1, 3), dtype="int16", quantisation=affine(0.1)), "there is no rule from int8 to int16"),
    ],
)
def test_unfit_tensors_are_named(tensor: Tensor, words: str) -> None:
    with pytest.raises(UserError, match=words):
        prepare(changed(two_layers(dtype="int8"), s=tensor))


def test_integers_beside_float_weights_are_refused() -> None:
    quantisation = affine(0.1)
    tensors = {
        "x": Tensor(name="x", shape=(1, 2), dtype="int8", quantisation=quantisation),
        "w": Tensor(name="w", shape=(2, 2)),
        "y": Tensor(name="y", shape=(1, 2), dtype="int8", quantisation=quantisation),
    }
    node = Node(name="fc", op=ops.Dense(), inputs=("x", "w"), outputs=("y",))
    constants = {"w": np.ones((2, 2), np.float32)}
    graph = Graph(name="g", inputs=("x",), outputs=("y",), tensors=tensors, constants=constants, nodes=(node,))
    with pytest.raises(UserError, match="node fc \\(dense\\): weights w must be int8"):
        prepare(graph)


def test_movement_between_scales_is_refused() -> None:
    tensors = {
        "x": Tensor(name="x", shape=(1, 2), dtype="int8", quantisation=affine(0.1)),
        "y": Tensor(name="y", shape=(2, 1), dtype="int8", quantisation=affine(0.2)),
    }
    node = Node(name="turn", op=ops.Reshape(shape=(2, 1)), inputs=("x",), outputs=("y",))
    graph = Graph(name="g", inputs=("x",), outputs=("y",), tensors=tensors, constants={}, nodes=(node,))
    with pytest.raises(UserError, match=r"node turn .* tensors x and y must have the same quantisation"):
        prepare(graph)


def test_a_float_island_in_an_integer_graph() -> None:
    fine, coarse = affine(0.1), affine(0.05, -10)
    tensors = [
        Tensor(name="x", shape=(1, 4), dtype="int8", quantisation=fine),
        Tensor(name="a", shape=(1, 4)),
        Tensor(name="b", shape=(1, 4)),
        Tensor(name="y", shape=(1, 4), dtype="int8", quantisation=coarse),
    ]
    nodes = tuple(
        Node(name=f"n{index}", op=op, inputs=(source,), outputs=(target,))
        for index, (op, source, target) in enumerate(
            [(ops.Dequantise(), "x", "a"), (ops.Gelu(), "a", "b"), (ops.Quantise(), "b", "y")]
        )
    )
    graph = Graph(name="i", inputs=("x",), outputs=("y",), tensors={t.name: t for t in tensors}, constants={}, nodes=nodes)
    (y,) = interpret(graph, np.array([[-10, 0, 10, 20]], np.int8))
    assert y.tolist() == [[-13, -10, 7, 29]]


def test_scratch_memory_is_bounded() -> None:
    import tracemalloc

    channels = 16
    scale = affine(0.1)
    tensors = [
        Tensor(name="x", shape=(1, 48, 48, channels), dtype="int8", quantisation=scale),
        Tensor(name="w", shape=(channels, 3, 3, channels), dtype="int8", quantisation=affine(0.01)),
        Tensor(name="a", shape=(1, 48, 48, channels), dtype="int8", quantisation=scale),
        Tensor(name="y", shape=(1, channels), dtype="int8", quantisation=scale),
    ]
    nodes = (
        Node(name="conv", op=ops.Conv2D(padding=(1, 1, 1, 1)), inputs=("x", "w"), outputs=("a",)),
        Node(name="mean", op=ops.Mean(axes=(1, 2)), inputs=("a",), outputs=("y",)),
    )
    weights = np.ones((channels, 3, 3, channels), np.int8)
    graph = Graph(
        name="g", inputs=("x",), outputs=("y",), tensors={t.name: t for t in tensors}, constants={"w": weights}, nodes=nodes
    )
    prepared = prepare(graph)
    x = np.zeros((512, 48, 48, channels), np.int8)
    tracemalloc.start()
    run(prepared, x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20
