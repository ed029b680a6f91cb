"""Convolution and dense layers of family ``dsp``: every shape, ending and extreme, in C on this machine and on a Cortex-M4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.compile.c.hosting import Host, differing, expected, generate_apart, spread

from marram.compile.c import generation
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.c.kernels.dsp import packing
from marram.compile.c.requantisation import Requantisation
from marram.compile.memory.plan import MemoryPlan, Problem
from marram.compile.toolchain.cross import compile_for
from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Quantisation, Tensor
from marram.measure.emulator.emulation import EmulatedSession
from marram.model.shapes import output_shapes

CHANNELS = (1, 2, 3, 4, 5, 8, 12, 16, 20, 36)
ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1")
FACTORS = (0.003, 0.02, 0.3, 0.6, 1.7)
"""Real multipliers: shifts to the right, none, and to the left."""


class Rows:
    """A graph that grows layer by layer, from random numbers of one seed."""

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, Array] = {}
        self.nodes: list[Node] = []
        self.outputs: list[str] = []
        self.first = self._tensor(shape, "int8", Quantisation(scales=(0.5,), zero_points=(self._zero(),)))

    def _zero(self) -> int:
        return int(self.rng.choice([-128, 127, 0, self.rng.integers(-128, 128)]))

    def _tensor(self, shape: tuple[int, ...], dtype: str, quantisation: Quantisation) -> Tensor:
        tensor = Tensor(name=f"t{len(self.tensors)}", shape=shape, dtype=dtype, quantisation=quantisation)
        self.tensors[tensor.name] = tensor
        return tensor

    def _constant(self, value: Array, scales: Array, axis: int) -> Tensor:
        quantisation = Quantisation(scales=tuple(map(float, scales)), zero_points=(0,) * len(scales), axis=axis)
        tensor = self._tensor(value.shape, value.dtype.name, quantisation)
        self.constants[tensor.name] = value
        return tensor

    def weights(self, shape: tuple[int, ...]) -> Array:
        """Random int8, sometimes of extremes only, sometimes with channels of nothing."""
        value = self.rng.integers(-128, 128, shape).astype(np.int8)
        if self.rng.random() < 0.3:
            value = self.rng.choice([-128, 127], shape).astype(np.int8)
        if self.rng.random() < 0.3:
            value[self.rng.integers(shape[0])] = 0
        return value

    def layer(self, op: ops.Conv2D | ops.Dense, source: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A layer whose outputs are spread over int8 for the smaller factors, and saturate for the others."""
        outputs = shape[0]
        typical = float(self.rng.choice(FACTORS, p=(0.5, 0.2, 0.1, 0.1, 0.1)))
        factors = typical * 2.0 ** self.rng.uniform(-2, 1, outputs)
        odd = int(self.rng.integers(outputs))
        rare = self.rng.random()
        if rare < 0.2:
            factors[odd] = 2.0 ** -float(self.rng.integers(1 if rare < 0.1 else 15, 40))
        given_scale = source.quantisation.scale
        scales = np.float32(factors)
        weights = self._constant(self.weights(shape), scales, 0)
        bias = self.rng.integers(-20000, 20000, outputs).astype(np.int32)
        if 0.1 < rare < 0.2:
            bias[odd] = 2**30
        inputs = [source, weights, self._constant(bias, np.float32(given_scale) * scales, 0)]
        if self.rng.random() < 0.2:
            inputs.pop()
        (found,) = output_shapes(op, [tensor.shape for tensor in inputs])
        made = self._tensor(found, "int8", Quantisation(scales=(given_scale,), zero_points=(self._zero(),)))
        self.nodes.append(Node(name=f"n{len(self.nodes)}", op=op, inputs=tuple(t.name for t in inputs), outputs=(made.name,)))
        return made

    def conv(self, source: Tensor, *, activation: str | None = None, kernel: int | None = None) -> Tensor:
        rng = self.rng
        _, height, width, channels = source.shape
        tall, wide = (int(rng.choice([1, 1, 2, 3, 4])) if kernel is None else kernel for _ in range(2))
        tall, wide = min(tall, height), min(wide, width)
        stride = tuple(int(rng.choice([1, 1, 2, 3])) for _ in range(2))
        dilation = (1, 1)
        if stride == (1, 1) and rng.random() < 0.2 and 2 * tall <= height and 2 * wide <= width:
            dilation = (2, 2)
        padding = tuple(int(rng.integers(0, size)) if rng.random() < 0.7 else 0 for size in (tall, tall, wide, wide))
        op = ops.Conv2D(
            stride=stride, dilation=dilation, padding=padding, activation=activation or str(rng.choice(ACTIVATIONS)), groups=1
        )
        return self.layer(op, source, (int(rng.choice(CHANNELS)), tall, wide, channels))

    def dense(self, source: Tensor) -> Tensor:
        op = ops.Dense(activation=str(self.rng.choice(["none", "relu", "relu", "relu6"])))
        return self.layer(op, source, (int(self.rng.choice([1, 3, 4, 9, 16, 35, 40])), source.shape[-1]))

    def graph(self) -> Graph:
        read = {name for node in self.nodes for name in node.inputs}
        outputs = tuple(node.outputs[0] for node in self.nodes if node.outputs[0] not in read)
        return Graph(
            name="drawn", inputs=(self.first.name,), outputs=outputs, tensors=self.tensors, constants=self.constants,
            nodes=tuple(self.nodes),
        )  # fmt: skip


def fans(seed: int, count: int, *, layers: int = 8) -> list[Graph]:
    """Graphs of several layers side by side on one image or vector."""
    found = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        if rng.random() < 0.5:
            depth = int(rng.choice([3, 33, 64, 128]))
            rows = Rows(seed + index, (1, depth) if rng.random() < 0.6 else (1, int(rng.integers(2, 8)), depth))
            for _ in range(layers):
                rows.dense(rows.first)
        else:
            sizes = (1, int(rng.integers(1, 10)), int(rng.integers(1, 10)), int(rng.choice(CHANNELS)))
            rows = Rows(seed + index, sizes)
            for _ in range(layers):
                rows.conv(rows.first)
        found.append(rows.graph())
    return found


def chains(seed: int, count: int) -> list[Graph]:
    """Graphs of three convolutions one after the other, which a small arena rolls through rings."""
    found = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        rows = Rows(seed + index, (1, int(rng.integers(14, 24)), int(rng.integers(2, 7)), int(rng.choice([1, 4, 8]))))
        last = rows.first
        for _ in range(3):
            last = rows.conv(last, activation="none", kernel=int(rng.choice([1, 3, 3])))
        found.append(rows.graph())
    return found


def samples(graph: Graph, count: int) -> Array:
    """Random inputs, half of them of the extremes only."""
    rng = np.random.default_rng(count)
    shape = (count, *graph.input_tensors[0].shape[1:])
    value = rng.integers(-128, 128, shape).astype(np.int8)
    value[::2] = rng.choice([-128, 127], value[::2].shape)
    value[0] = -128
    return value


def check(made: Sequence[Generated], folder: Path) -> None:
    inputs = [[samples(one.graph, 6)] for one in made]
    found = Host(made, folder).run(inputs)
    assert not [text for one, given, got in zip(made, inputs, found, strict=True) if (text := differing(one, given, got))]


def kernels(made: Sequence[Generated]) -> set[str]:
    """Which kernel functions of the family are called."""
    text = "".join(line for one in made for line in one.files[f"{one.name}.c"].splitlines(keepends=True) if line[:1].isspace())
    return {word for word in KERNELS if f"{word}(" in text or f" {word}," in text}


KERNELS = {
    "marram_dsp_tile_floored", "marram_dsp_tile_away", "marram_dsp_tile_exact", "marram_dsp_pointwise", "marram_dsp_conv2d",
    "marram_dsp_conv2d_staged", "marram_dsp_conv2d_lean", "marram_dsp_dense_single", "marram_dsp_quads_expanded_floored",
    "marram_dsp_quads_expanded_away", "marram_dsp_quads_raw_floored", "marram_dsp_quads_raw_away",
}  # fmt: skip


def rolled(graph: Graph, name: str) -> Generated:
    """In the smallest arena that there is."""
    return generate(graph, FAMILIES["dsp"], name=name, arena_limit_bytes=1)


def lean(graph: Graph, name: str, *, pack_weights: bool = False) -> Generated:
    """Every layer with the least scratch, nothing overlapping."""

    def plan(problem: Problem, *, budget_bytes: int | None = None) -> MemoryPlan:
        return msgspec.structs.replace(spread(problem, budget_bytes=budget_bytes), lean=(True,) * len(problem.tasks))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "plan_memory", plan)
        return generate(graph, FAMILIES["dsp"], name=name, pack_weights=pack_weights)


def test_layers_side_by_side(tmp_path: Path) -> None:
    graphs = fans(2, 28)
    made = [generate_apart(graph, "dsp", name=f"g{index}") for index, graph in enumerate(graphs[:14])]
    made += [lean(graph, f"g{14 + index}") for index, graph in enumerate(graphs[14:])]
    assert kernels(made) == KERNELS
    check(made, tmp_path)


def test_rings(tmp_path: Path) -> None:
    made = [rolled(graph, f"g{index}") for index, graph in enumerate(chains(2, 8))]
    assert sum(slot.kind == "ring" for one in made for slot in one.plan.slots) >= 3
    check(made, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_campaign(seed: int, tmp_path: Path) -> None:
    graphs = fans(1000 + 100 * seed, 60) + chains(2000 + 100 * seed, 30)
    check([rolled(graph, f"g{index}") for index, graph in enumerate(graphs)], tmp_path / "rolled")
    check([lean(graph, f"g{index}") for index, graph in enumerate(graphs)], tmp_path / "lean")
    check([generate_apart(graph, "dsp", name=f"g{index}") for index, graph in enumerate(graphs)], tmp_path / "apart")


def on_core(made: Generated, core: str, folder: Path) -> None:
    """Runs on an emulated core: so the assembly is tested, not its plain fallback."""
    inputs = [samples(made.graph, 4)]
    with EmulatedSession(compile_for(made, core, folder)) as session:
        found = session.run_many(inputs)
    for want, got in zip(expected(made, inputs), found, strict=True):
        np.testing.assert_array_equal(got.reshape(want.shape), want)


@pytest.mark.parametrize("index", range(4))
def test_on_cortex_m4(index: int, tmp_path: Path) -> None:
    graph = fans(30, 4, layers=16)[index]
    on_core(lean(graph, "net") if index % 2 else generate_apart(graph, "dsp", name="net"), "cortex-m4", tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("index", range(40))
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m33"])
def test_campaign_on_core(core: str, index: int, tmp_path: Path) -> None:
    graph = (fans(500, 30, layers=16) + chains(600, 10))[index]
    on_core(lean(graph, "net") if index % 2 else generate_apart(graph, "dsp", name="net"), core, tmp_path)


@given(
    weights=hnp.arrays(np.int8, st.tuples(st.integers(1, 3), st.integers(1, 9))),
    inputs=st.integers(0, 2**32 - 1),
)
def test_words_give_the_product(weights: Array, inputs: int) -> None:
    """The sums that the kernels make, by the packed words alone, in arithmetic modulo 2**32."""
    outputs, depth = weights.shape
    x = np.zeros(-(-depth // 4) * 4, np.int64)
    x[:depth] = np.random.default_rng(inputs).integers(-128, 128, depth)
    words = packing.weight_words(weights)
    halves = words.view("<i2").astype(np.int64).reshape(outputs, -1)
    upper = words.view("<i1").astype(np.int64).reshape(outputs, -1)[:, 1::2]
    even, odd = x[0::2], x[1::2] - 128 - 256 * x[0::2]
    assert np.abs(odd).max() <= 2**15
    by = Requantisation(
        bias=np.zeros(outputs, np.int64), multiplier=np.full(outputs, 2**30), shift=np.full(outputs, -1), zero_point=0,
        low=-128, high=127, reach=np.zeros(outputs, np.int64),
    )  # fmt: skip
    sums = halves @ even + upper @ odd - 128 * even.sum() + packing.unpacked_bias(weights, by)
    np.testing.assert_array_equal(sums, weights.astype(np.int64) @ x[:depth])


def test_single_result_channels_cost_no_exact_kernel() -> None:
    by = Requantisation(
        bias=np.array([2**30, 0]), multiplier=np.array([2**30, 2**30]), shift=np.array([-31, -7]), zero_point=3, low=-128,
        high=127, reach=np.array([2**30 + 128, 1280]),
    )  # fmt: skip
    weights, settled = packing.settled(np.array([[1], [10]], np.int8), by)
    assert packing.ending_of(by) == "exact"
    assert packing.ending_of(settled) == "away"
    assert weights.tolist() == [[0], [10]]
