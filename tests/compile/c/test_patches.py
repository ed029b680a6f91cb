"""Fronts in bands of columns: the same bytes, less memory, and as much made again as the plan says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.compile.c.arrangements import extremes, tensor
from tests.compile.c.banding import FRONT_OPERATORS, all_patched, fronts, generate_in_bands, wide_front
from tests.compile.c.hosting import Host, differing
from tests.compile.c.image_chains import image_chains
from tests.compile.c.test_random_graphs import drawn
from tests.compile.c.watching import COMPILER, FLAGS, watched
from tests.model.graphs import affine, samples

from marram.compile.c.answers import Answers
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, _problem, generate
from marram.compile.c.layers import layers_of
from marram.compile.c.lowering import lower
from marram.compile.c.patches import cuts, needed, patched
from marram.compile.memory import plan_memory
from marram.compile.toolchain.cross import compile_for
from marram.core import operators as ops
from marram.core.graph import Graph, Node
from marram.measure.emulator.emulation import EmulatedSession
from marram.model import interpret
from marram.model.counts import counts
from marram.model.spec import verify

VECTORS = 3


def smallest_without(graph: Graph, family: str) -> int:
    """Bytes of the smallest arena of a plan without bands."""
    found = layers_of(lower(graph))
    return plan_memory(_problem(found, Answers(FAMILIES[family])), budget_bytes=1).arena_bytes


def agree(graph: Graph) -> int:
    """Checks every front of a graph in bands against the graph; how many there were."""
    whole = lower(graph)
    inputs = samples(whole, VECTORS, seed=3)
    wanted = interpret(whole, inputs)
    made = all_patched(whole, bands=(2, 3))
    for one in made:
        verify(one.graph, "integer")
        found = interpret(one.graph, inputs)
        assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True)), (one.cut, one.bands)
        assert one.macs + one.macs_again == counts(one.graph).macs
    return len(made)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(image_chains())
def test_windows_and_sums_in_bands_give_the_same(graph: Graph) -> None:
    agree(graph)


def test_all_operators_of_fronts_in_bands_give_the_same() -> None:
    kinds = {
        type(node.op)
        for graph in drawn(fronts(), 100, start=5)
        if agree(graph)
        for cut in cuts(lower(graph))
        for node in lower(graph).nodes[: cut.nodes]
    }
    assert kinds >= set(FRONT_OPERATORS)


def test_paddings_and_windows_at_every_column() -> None:
    """Bands of one column each: every padding, stride and dilation is cut everywhere."""
    for start in range(4):
        for graph in drawn(image_chains(most_nodes=4), 6, start=start):
            whole = lower(graph)
            inputs = samples(whole, 1, seed=1)
            for cut in cuts(whole):
                made = patched(whole, cut, whole.tensors[cut.tensor].shape[2])
                if made is not None:
                    assert np.array_equal(interpret(made.graph, inputs)[0], interpret(whole, inputs)[0])


def watched_in_bands(family: str, count: int, *, start: int) -> Iterator[Generated]:
    """C of random graphs, every call watched, with their fronts in bands: rolled as far as can be, and not at all."""
    for index, graph in enumerate(drawn(image_chains(), count, start=start)):
        for budget in (1, 1 << 30):
            made = watched(generate_in_bands)(graph, family, name=f"m{index}_{budget}", budget_bytes=budget)
            if made is not None:
                yield made


def check(made: list[Generated], folder: Path) -> None:
    inputs = [samples(one.graph, VECTORS, seed=index) for index, one in enumerate(made)]
    found = Host(made, folder, compiler=(COMPILER,), flags=FLAGS).run(inputs)
    faults = [differing(*each) for each in zip(made, inputs, found, strict=True)]
    assert not any(faults), [fault for fault in faults if fault]


@pytest.mark.parametrize("family", ["portable", "dsp", "mve"])
def test_generated_c_in_bands(family: str, tmp_path: Path) -> None:
    made = list(watched_in_bands(family, 10, start=300))[:6]
    assert any(one.plan.rolled for one in made)
    check(made, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("family", ["portable", "armv6m", "armv7m", "dsp", "mve", "host"])
@pytest.mark.parametrize("start", range(400, 404))
def test_many_random_fronts_in_bands(family: str, start: int, tmp_path: Path) -> None:
    check(list(watched_in_bands(family, 60, start=start)), tmp_path)


def said_again(made: Generated) -> float:
    (sentence,) = [text for text in made.plan.explanation if "bands of columns" in text]
    found = re.search(r"([\d.]+) % of all MACs are made again", sentence)
    assert found is not None
    return float(found.group(1))


def test_a_budget_that_rolling_does_not_reach_on_a_core(tmp_path) -> None:
    graph = wide_front()
    without = smallest_without(graph, "dsp")
    budget = without * 2 // 3
    made = generate(graph, FAMILIES["dsp"], name="wide", arena_limit_bytes=budget)
    assert made.plan.arena_bytes <= budget
    assert made.graph == lower(graph)
    share = sum(layer.macs for layer in made.layers) / counts(made.graph).macs - 1.0
    assert said_again(made) == pytest.approx(100 * share, abs=0.05)
    inputs = [array[:3] for array in extremes(made.graph, seed=2)]
    assert not differing(made, inputs, Host([made], tmp_path / "host").run([inputs])[0])
    with EmulatedSession(compile_for(made, "cortex-m4", tmp_path / "core")) as session:
        assert not differing(made, inputs, session.run_many(inputs))


def test_weights_of_bands_stand_in_flash_once() -> None:
    graph = wide_front()
    whole, banded = (generate(graph, FAMILIES["dsp"], name="wide", arena_limit_bytes=limit) for limit in (None, 1))
    sizes = [sum(layer.weight_bytes for layer in one.layers) for one in (whole, banded)]
    assert len(banded.layers) > 2 * len(whole.layers)
    assert sizes[1] < sizes[0] * 1.1
    assert sum(layer.function == layer.name for layer in banded.layers) < len(banded.layers)


@pytest.mark.parametrize("family", ["dsp", "portable"])
def test_the_choice_is_the_same_for_what_it_takes(family: str) -> None:
    graph = wide_front()
    without = smallest_without(graph, family)
    for limit in (1, without * 3 // 4):
        made = generate(graph, FAMILIES[family], name="wide", arena_limit_bytes=limit)
        assert made.plan.arena_bytes < without
        again = generate(graph, FAMILIES[family], name="wide", arena_limit_bytes=made.plan.arena_bytes)
        assert again.files == made.files
        assert made.plan.front[-1] == (made.plan.arena_bytes, made.plan.extra_instructions)


def test_without_need_nothing_is_cut() -> None:
    graph = wide_front()
    without = smallest_without(graph, "dsp")
    for limit in (None, without):
        made = generate(graph, FAMILIES["dsp"], name="wide", arena_limit_bytes=limit)
        assert len(made.layers) == len(graph.nodes)
        assert not any("bands" in text for text in made.plan.explanation)


def test_layers_of_bands_name_their_node() -> None:
    made = generate(wide_front(), FAMILIES["dsp"], name="wide", arena_limit_bytes=1)
    assert {"n2, columns 0 to 7", "bands of t6"} <= {re.sub(r"\d+ to \d+", "0 to 7", layer.node) for layer in made.layers}


def test_what_is_needed_stays_in_the_image() -> None:
    graph = lower(wide_front())
    cut = next(cut for cut in cuts(graph) if cut.nodes == 7)
    found = needed(graph, cut, (0, 4))
    assert found is not None
    assert found["x"] == (0, 19)
    assert needed(graph, cut, (4, 8)) == {"t6": (4, 8), "t5": (8, 16), "t4": (16, 32), "t3": (16, 32)} | {
        "t2": (16, 32), "t1": (15, 32), "t0": (15, 32), "x": (14, 32)
    }  # fmt: skip


def _image(name: str, *shape: int):
    return tensor(name, shape, affine(0.1))


@pytest.mark.parametrize(
    ("shapes", "outputs"),
    [
        ({"x": (1, 1, 12, 2), "y": (1, 1, 12, 2)}, ("y",)),  # a sequence: rows are its only axis
        ({"x": (12, 4), "y": (12, 4)}, ("y",)),
        ({"x": (1, 6, 1, 2), "y": (1, 6, 1, 2)}, ("y",)),  # one column
    ],
)
def test_what_has_no_columns_has_no_front(shapes: dict[str, tuple[int, ...]], outputs: tuple[str, ...]) -> None:
    tensors = {name: _image(name, *shape) for name, shape in shapes.items()}
    nodes = (Node(name="n", op=ops.Relu(), inputs=("x",), outputs=("y",)),)
    graph = Graph(name="g", inputs=("x",), outputs=outputs, tensors=tensors, constants={}, nodes=nodes)
    assert not list(cuts(graph))
    made = generate(graph, FAMILIES["dsp"], arena_limit_bytes=1)
    assert len(made.layers) == 1


def test_a_front_ends_where_one_tensor_is_left() -> None:
    """Not where an output of the model, or a branch, is read past the cut; nor after what mixes all columns."""
    tensors = {name: _image(name, 1, 6, 6, 2) for name in "xabcd"} | {"m": _image("m", 1, 2)}
    nodes = (
        Node(name="a", op=ops.Relu(), inputs=("x",), outputs=("a",)),
        Node(name="b", op=ops.Relu(), inputs=("a",), outputs=("b",)),
        Node(name="c", op=ops.Relu(), inputs=("b",), outputs=("c",)),
        Node(name="d", op=ops.Add(), inputs=("c", "a"), outputs=("d",)),
        Node(name="m", op=ops.Mean(axes=(1, 2)), inputs=("d",), outputs=("m",)),
    )

    def ends(outputs: tuple[str, ...]) -> list[int]:
        graph = Graph(name="g", inputs=("x",), outputs=outputs, tensors=tensors, constants={}, nodes=nodes)
        return [cut.nodes for cut in cuts(graph)]

    assert ends(("m",)) == [1, 4]
    assert ends(("m", "b")) == [1]
    two = Graph(name="g", inputs=("x", "a"), outputs=("m",), tensors=tensors, constants={}, nodes=nodes[1:])
    assert not list(cuts(two))
