"""Family ``dsp`` as instructions: the emulated cores give the reference's bytes, where the PC runs its plain C."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.arrangements import Plan, extremes, generate_by, in_place, in_turn, rolled, tensor
from tests.compile.c.hosting import differing
from tests.compile.c.test_dsp_depthwise import convolution
from tests.model.graphs import affine

from marram.compile.c.generation import Generated
from marram.compile.toolchain.cross import compile_for
from marram.core.graph import Array, Graph, Node, Tensor
from marram.core.operators import Add, AveragePool2D, DepthwiseConv2D, HardSwish, MaxPool2D, Operator
from marram.measure.emulator.emulation import EmulatedSession
from marram.model.shapes import output_shapes


class Chain:
    """A graph that grows by one operator on the last tensor."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(7)
        self.last = tensor("x", shape, affine(0.05, -128))
        self.tensors: dict[str, Tensor] = {"x": self.last}
        self.constants: dict[str, Array] = {}
        self.nodes: list[Node] = []

    def then(self, op: Operator, scale: float, zero_point: int, *more: Tensor) -> Tensor:
        inputs = [self.last, *more]
        name = f"t{len(self.nodes)}"
        (shape,) = output_shapes(op, [one.shape for one in inputs])
        self.last = self.tensors[name] = tensor(name, shape, affine(scale, zero_point))
        self.nodes.append(Node(name=f"n{name}", op=op, inputs=tuple(one.name for one in inputs), outputs=(name,)))
        return self.last

    def weights(self, kernel: tuple[int, int]) -> Tensor:
        values = self.rng.integers(-127, 128, (1, *kernel, self.last.shape[3])).astype(np.int8)
        name = f"w{len(self.nodes)}"
        self.constants[name] = values
        self.tensors[name] = tensor(name, values.shape, affine(0.01))
        return self.tensors[name]

    def graph(self) -> Graph:
        nodes = tuple(self.nodes)
        return Graph(
            name="chain", inputs=("x",), outputs=(self.last.name,), tensors=self.tensors, constants=self.constants, nodes=nodes
        )


def every_kernel() -> Graph:
    """Strides 1 and 2, odd and even widths, the clamp at the zero point and not, a sum, pools, a table."""
    chain = Chain((1, 23, 15, 8))
    same = (1, 1, 1, 1)
    first = chain.then(DepthwiseConv2D(padding=same, activation="relu"), 0.08, -128, chain.weights((3, 3)))
    chain.then(DepthwiseConv2D(padding=same), 0.1, 9, chain.weights((3, 3)))
    chain.then(Add(activation="relu6"), 0.09, -100, first)
    chain.then(DepthwiseConv2D(stride=(2, 2), padding=(0, 1, 0, 1), activation="relu"), 0.1, -128, chain.weights((3, 3)))
    chain.then(DepthwiseConv2D(stride=(2, 2), padding=same), 0.1, -3, chain.weights((3, 3)))
    chain.then(DepthwiseConv2D(padding=(2, 2, 2, 2), activation="relu6"), 0.1, -20, chain.weights((5, 5)))
    chain.then(HardSwish(), 0.05, -110)
    chain.then(MaxPool2D(kernel=(2, 2), stride=(1, 1), padding=(1, 0, 0, 0)), 0.05, -110)
    height, width = chain.last.shape[1:3]
    chain.then(AveragePool2D(kernel=(height, width), stride=(1, 1)), 0.05, -110)
    return chain.graph()


def check(made: Generated, core: str, folder: Path) -> None:
    inputs = extremes(made.graph, seed=5)
    with EmulatedSession(compile_for(made, core, folder)) as session:
        found = session.run_many(inputs)
    assert not differing(made, inputs, found)


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_every_kernel(core: str, tmp_path: Path) -> None:
    made = generate_by(in_turn, every_kernel(), "dsp", name="chain")
    text = made.files["chain.c"]
    assert text.count("marram_dsp_depthwise_conv2d(((") == 5
    assert all(f"marram_dsp_{name}(((" in text for name in ("add", "table", "max_pool2d", "average_pool2d"))
    check(made, core, tmp_path)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("plan", [in_place(lean=True), rolled(2, spare=1)], ids=["in place", "rolled"])
def test_depthwise_on_a_core(stride: int, plan: Plan, tmp_path: Path) -> None:
    """Five channels: four taken out at once, one alone; in bands over itself, or from ring to ring."""
    op = DepthwiseConv2D(stride=(stride, stride), padding=(1, 1, 1, 1), activation="relu")
    graph = convolution(31, 27, 5, (3, 3), op, out=affine(0.05, -128), seed=stride)
    check(generate_by(plan, graph, "dsp", name="one"), "cortex-m4", tmp_path)


@pytest.mark.parametrize("plan", [in_place(), rolled(3, spare=2)], ids=["in place", "rolled"])
def test_sequence_on_a_core(plan: Plan, tmp_path: Path) -> None:
    """Rows of one pixel: taken as columns."""
    op = DepthwiseConv2D(stride=(1, 2), padding=(0, 0, 2, 1), activation="relu")
    graph = convolution(1, 43, 6, (1, 5), op, out=affine(0.05, -128), seed=3)
    check(generate_by(plan, graph, "dsp", name="one"), "cortex-m4", tmp_path)
