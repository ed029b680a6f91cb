"""Random legal graphs: the generated C of every kernel family gives the reference's bytes, and nothing is touched outside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.compile.c.hosting import OPTIMISED, SANITISED, Host, differing, generate_apart
from tests.compile.c.int16_graphs import int16_graphs, vectors
from tests.model.graphs import INTEGER_OPERATORS, integer_graphs

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph

IMAGES = frozenset(
    {
        ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv2D, ops.AveragePool2D, ops.MaxPool2D, ops.Resize, ops.Pad, ops.Add,
        ops.Concat, ops.Relu,
    }
)  # fmt: skip
NATIVE = ("-O1", "-march=native")
VECTORS = 6
PER_COMPILE = 50
Maker = Callable[[Graph, str, str], Generated]


def drawn(strategy: st.SearchStrategy[Graph], count: int, *, start: int) -> list[Graph]:
    """So many graphs of a strategy, the same for the same start."""
    found: list[Graph] = []

    @seed(start)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def collect(graph: Graph) -> None:
        found.append(graph)

    collect()
    return found


def planned(graph: Graph, family: str, name: str) -> Generated:
    return generate(graph, FAMILIES[family], name=name)


def apart(graph: Graph, family: str, name: str) -> Generated:
    return generate_apart(graph, family, name=name)


def generated(graphs: Sequence[Graph], family: str, make: Maker) -> list[Generated]:
    """C of every graph but those that can overflow or scale by next to nothing, which are few."""
    made, refused = [], []
    for index, graph in enumerate(graphs):
        try:
            made.append(make(graph, family, f"g{index}"))
        except UserError as error:
            if "int32" not in error.what and "less than 2**-20" not in f"{error}":
                raise
            refused.append(graph)
    assert len(refused) <= max(1, len(graphs) // 50)
    return made


def check(made: Sequence[Generated], folder: Path, *, compiler: str = "gcc", flags: Sequence[str] = SANITISED) -> None:
    """Compiles some models at a time, runs them, compares every byte."""
    for start in range(0, len(made), PER_COMPILE):
        part = made[start : start + PER_COMPILE]
        host = Host(part, folder / f"{start}", compiler=(compiler,), flags=flags)
        inputs = [vectors(one.graph, VECTORS, seed=start + index) for index, one in enumerate(part)]
        found = host.run(inputs)
        problems = [differing(one, given, got) for one, given, got in zip(part, inputs, found, strict=True)]
        assert not [problem for problem in problems if problem]


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"host"}))
def test_short(family: str, tmp_path: Path) -> None:
    graphs = drawn(integer_graphs(operators=INTEGER_OPERATORS), 8, start=11)
    graphs += drawn(integer_graphs(operators=IMAGES), 6, start=12)
    check(generated(graphs[::2], family, apart) + generated(graphs[1::2], family, planned_odd), tmp_path)


def test_short_on_this_machine(tmp_path: Path) -> None:
    """Kernels of family host are long, and sanitisers make them longer: here optimised, in the campaign with sanitisers."""
    graphs = drawn(integer_graphs(operators=INTEGER_OPERATORS), 6, start=11)
    graphs += drawn(integer_graphs(operators=IMAGES), 3, start=12)
    check(generated(graphs, "host", planned), tmp_path, flags=NATIVE)


def planned_odd(graph: Graph, family: str, name: str) -> Generated:
    return generate(graph, FAMILIES[family], name=f"{name}_planned")


def test_other_compilers(tmp_path: Path) -> None:
    made = generated(drawn(integer_graphs(operators=INTEGER_OPERATORS), 10, start=13), "portable", planned)
    check(made, tmp_path / "gcc", flags=OPTIMISED)
    check(made, tmp_path / "clang", compiler="clang", flags=OPTIMISED)


def test_int16(tmp_path: Path) -> None:
    graphs = drawn(int16_graphs(), 10, start=15)
    check(generated(graphs, "portable", apart), tmp_path)
    check(generated(graphs[:3], "dsp", planned), tmp_path)


def narrow(graph: Graph, *, bits: int) -> Graph:
    """The graph with weights of so many bits; its biases follow, so that outputs stay within range."""
    constants = dict(graph.constants)
    for node in graph.nodes:
        if isinstance(node.op, ops.Conv2D | ops.DepthwiseConv2D | ops.Dense):
            name = node.inputs[1]
            constants[name] = graph.constants[name] >> (8 - bits)
            if len(node.inputs) > 2 and node.inputs[2]:
                constants[node.inputs[2]] = graph.constants[node.inputs[2]] >> (8 - bits)
    return msgspec.structs.replace(graph, constants=constants)


def packed(graph: Graph, family: str, name: str) -> Generated:
    return generate_apart(graph, family, name=name, pack_weights=True)


WEIGHTED = frozenset({ops.Conv2D, ops.DepthwiseConv2D, ops.Dense, ops.Reshape})


@pytest.mark.parametrize("bits", [2, 4])
def test_packed_weights(bits: int, tmp_path: Path) -> None:
    graphs = [narrow(graph, bits=bits) for graph in drawn(integer_graphs(operators=WEIGHTED), 7, start=16)]
    made = generated(graphs, "portable", packed)
    assert any("marram_portable_packed_conv2d" in one.files[f"{one.name}.c"] for one in made)
    check(made, tmp_path)
    whole = generated(graphs, "portable", apart)
    weights = [sum(layer.weight_bytes for one in some for layer in one.layers) for some in (made, whole)]
    assert weights[0] < weights[1]


def only(kinds: Collection[type]) -> st.SearchStrategy[Graph]:
    return integer_graphs(operators=kinds, most_nodes=3)


def test_every_operator_is_drawn(tmp_path: Path) -> None:
    graphs = [graph for kind in sorted(INTEGER_OPERATORS, key=str) for graph in drawn(only({kind}), 2, start=14)]
    assert {type(node.op) for graph in graphs for node in graph.nodes} >= INTEGER_OPERATORS
    check(generated(graphs, "portable", apart), tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_campaign(family: str, start: int, tmp_path: Path) -> None:
    graphs = drawn(integer_graphs(operators=INTEGER_OPERATORS, most_nodes=10), 400, start=100 + start)
    graphs += drawn(integer_graphs(operators=IMAGES, most_nodes=8), 200, start=200 + start)
    native = ("-march=native",) if family == "host" else ()
    check(generated(graphs, family, apart), tmp_path / "apart", flags=(*SANITISED, *native))
    made = generated(graphs, family, planned)
    check(made, tmp_path / "planned", compiler="clang", flags=(*SANITISED, *native))
    check(made, tmp_path / "optimised", flags=(*OPTIMISED, *native))


@pytest.mark.soak
@pytest.mark.parametrize("bits", [2, 4])
def test_packed_campaign(bits: int, tmp_path: Path) -> None:
    graphs = [narrow(graph, bits=bits) for graph in drawn(integer_graphs(operators=WEIGHTED), 400, start=400 + bits)]
    made = generated(graphs, "portable", packed)
    check(made, tmp_path / "apart")
    check(made, tmp_path / "optimised", flags=OPTIMISED)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(4))
def test_int16_campaign(start: int, tmp_path: Path) -> None:
    graphs = drawn(int16_graphs(most_nodes=8), 400, start=300 + start)
    check(generated(graphs, "portable", apart), tmp_path / "apart")
    check(generated(graphs, "portable", planned), tmp_path / "optimised", flags=OPTIMISED)
