"""Graphs whose front is made in bands of columns, wanted or not, and one that gains by it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import strategies as st
from tests.compile.c.arrangements import tensor
from tests.model.graphs import RULES, Draft, affine

from marram.compile.c import generation
from marram.compile.c.families import FAMILIES
from marram.compile.c.front_ends import Version
from marram.compile.c.generation import Generated
from marram.compile.c.layers import Layers, layers_of
from marram.compile.c.lowering import lower
from marram.compile.c.patches import Patched, cuts, patched
from marram.compile.memory import Problem, plan_memory
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Tensor
from marram.core.operators import Add, Conv2D, DepthwiseConv2D, MaxPool2D, Operator
from marram.model.shapes import output_shapes

FRONT_OPERATORS = (
    ops.Conv2D, ops.DepthwiseConv2D, ops.MaxPool2D, ops.AveragePool2D, ops.Pad, ops.Add, ops.Sub, ops.Mul, ops.Concat, ops.Relu,
    ops.Relu6, ops.LeakyRelu, ops.HardSwish, ops.Tanh, ops.Sigmoid, ops.Quantise, ops.Softmax,
)  # fmt: skip


@st.composite
def fronts(draw: st.DrawFn) -> Graph:
    """An image through up to five operators of all that a front may have."""
    d = Draft(draw, integer=True)
    d.add_input((1, d.number(3, 9), d.number(3, 13), d.number(1, 4)))
    for _ in range(d.number(1, 5)):
        last = [d.tensors[name] for name in d.tensors if name not in d.constants][-1]
        RULES[d.choice(FRONT_OPERATORS)](d, last)
    if not d.nodes:
        RULES[ops.Relu](d, d.tensors[d.inputs[0]])
    return d.graph()


def all_patched(graph: Graph, *, bands: tuple[int, ...] = (2, 3)) -> list[Patched]:
    """A lowered graph with each front it can have in so many bands."""
    widths = ((cut, count) for cut in cuts(graph) for count in bands if graph.tensors[cut.tensor].shape[2] >= count)
    return [made for made in (patched(graph, cut, count) for cut, count in widths) if made is not None]


def generate_in_bands(graph: Graph, family: str, *, name: str, budget_bytes: int = 1) -> Generated | None:
    """C of a graph whose longest front is in 3 bands, or 2; None where it has no front that can be cut."""
    made = all_patched(lower(graph))
    if not made:
        return None

    def forced(version: Version, limit: int, problem_of: Callable[[Layers], Problem], *, pack_weights: bool) -> Version:
        del version, limit
        found = layers_of(made[-1].graph, joined=made[-1].joined, pack_weights=pack_weights)
        return Version(graph=made[-1].graph, found=found, plan=plan_memory(problem_of(found), budget_bytes=budget_bytes))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "in_bands", forced)
        return generation.generate(graph, FAMILIES[family], name=name, arena_limit_bytes=0)


class _Images:
    """A graph that grows by one operator after the other."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(11)
        self.tensors: dict[str, Tensor] = {"x": tensor("x", shape, affine(0.05, -128))}
        self.constants: dict[str, Array] = {}
        self.nodes: list[Node] = []

    def then(self, op: Operator, scale: float, *inputs: Tensor) -> Tensor:
        name = f"t{len(self.nodes)}"
        (shape,) = output_shapes(op, [one.shape for one in inputs])
        self.tensors[name] = tensor(name, shape, affine(scale, -128))
        self.nodes.append(Node(name=f"n{len(self.nodes)}", op=op, inputs=tuple(one.name for one in inputs), outputs=(name,)))
        return self.tensors[name]

    def weights(self, *shape: int) -> Tensor:
        name = f"w{len(self.nodes)}"
        self.constants[name] = self.rng.integers(-127, 128, shape).astype(np.int8)
        self.tensors[name] = tensor(name, shape, affine(0.01))
        return self.tensors[name]


def wide_front() -> Graph:
    """A small image, many channels at its full width, and little after two strides: what rolling rows cannot make small."""
    made, same = _Images((1, 32, 32, 1)), (1, 1, 1, 1)
    stem = made.then(Conv2D(padding=same, activation="relu"), 0.05, made.tensors["x"], made.weights(8, 3, 3, 1))
    wide = made.then(Conv2D(activation="relu"), 0.2, stem, made.weights(32, 1, 1, 8))
    deep = made.then(DepthwiseConv2D(padding=same, activation="relu"), 0.3, wide, made.weights(1, 3, 3, 32))
    narrow = made.then(Conv2D(activation="relu"), 1.0, deep, made.weights(8, 1, 1, 32))
    total = made.then(Add(), 1.0, stem, narrow)
    half = made.then(Conv2D(stride=(2, 2), padding=(0, 1, 0, 1), activation="relu"), 1.0, total, made.weights(16, 3, 3, 8))
    small = made.then(MaxPool2D(kernel=(2, 2), stride=(2, 2)), 1.0, half)
    last = made.then(Conv2D(padding=same), 2.0, small, made.weights(16, 3, 3, 16))
    return Graph(
        name="wide",
        inputs=("x",),
        outputs=(last.name,),
        tensors=made.tensors,
        constants=made.constants,
        nodes=tuple(made.nodes),
    )
