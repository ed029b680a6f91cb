"""A small way of writing down float Graphs, and the law that rewrites are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from marram.core.graph import Array, Graph, Node, Tensor
from marram.core.operators import Operator, operator_name
from marram.model.reference import interpret
from marram.model.shapes import infer, output_shapes
from marram.model.spec import verify


class Sketch:
    """A Graph under construction: call it with an operator, tensor names and arrays; arrays become constants."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.inputs: list[str] = []
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Array] = {}

    def input(self, *shape: int) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(name)
        self.tensors[name] = Tensor(name=name, shape=shape)
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> Array:
        return (self.random.normal(size=shape) * scale).astype(np.float32)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name].shape

    def many(self, op: Operator, *inputs: str | Array) -> tuple[str, ...]:
        names = []
        for given in inputs:
            if isinstance(given, str):
                names.append(given)
                continue
            name = f"c{len(self.constants)}"
            self.constants[name] = np.asarray(given, np.float32)
            self.tensors[name] = Tensor(name=name, shape=self.constants[name].shape)
            names.append(name)
        shapes = output_shapes(op, [self.shape(name) if name else () for name in names])
        index = len(self.nodes)
        outputs = tuple(f"t{index}_{i}" for i in range(len(shapes)))
        for output, shape in zip(outputs, shapes, strict=True):
            self.tensors[output] = Tensor(name=output, shape=shape)
        self.nodes.append(Node(name=f"{operator_name(op)}{index}", op=op, inputs=tuple(names), outputs=outputs))
        return outputs

    def __call__(self, op: Operator, *inputs: str | Array) -> str:
        return self.many(op, *inputs)[0]

    def graph(self, *outputs: str) -> Graph:
        made = Graph(
            name="sketch",
            inputs=tuple(self.inputs),
            outputs=outputs,
            tensors=self.tensors,
            constants=self.constants,
            nodes=tuple(self.nodes),
        )
        verify(infer(made), "float")
        return made


def samples_of(graph: Graph, count: int = 5, seed: int = 1, scale: float = 1.0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {
        tensor.name: (random.normal(size=(count * tensor.shape[0], *tensor.shape[1:])) * scale).astype(np.float32)
        for tensor in graph.input_tensors
    }


def assert_same_function(a: Graph, b: Graph, *, count: int = 5, tolerance: float = 1e-5) -> None:
    assert (a.inputs, a.outputs) == (b.inputs, b.outputs)
    verify(b, "float")
    inputs = samples_of(a, count)
    for first, second in zip(interpret(a, inputs), interpret(b, inputs), strict=True):
        size = max(1.0, float(np.abs(first).max()))
        np.testing.assert_allclose(second / size, first / size, atol=tolerance, rtol=0)


def kinds(graph: Graph) -> list[str]:
    return [operator_name(node.op) for node in graph.nodes]


@pytest.fixture
def sketch() -> Sketch:
    return Sketch()


@pytest.fixture(name="samples_of")
def samples_of_fixture() -> Callable[..., dict[str, Array]]:
    return samples_of


@pytest.fixture(name="assert_same_function")
def assert_same_function_fixture() -> Callable[..., None]:
    return assert_same_function


@pytest.fixture(name="kinds")
def kinds_fixture() -> Callable[[Graph], Iterable[str]]:
    return kinds
