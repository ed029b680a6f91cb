"""Family ``mve``: its plain C on this machine and its Helium on the emulated core give the reference's bytes.

The shapes are those where the kernels differ: tails of depth, channels and pixels, odd rows and columns, strides, pads, rings,
work in place, and inputs of extremes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.hosting import Host, differing, expected, generate_apart
from tests.compile.c.linting import findings
from tests.compile.c.mve_graphs import chains, layers, samples
from tests.compile.c.test_random_graphs import drawn

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.toolchain.cross import compile_for
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.measure.emulator.emulation import EmulatedSession

VECTORS = 6
MVE = FAMILIES["mve"]


def made_of(graphs: Sequence[Graph], *, apart: bool) -> list[Generated]:
    """C of the graphs whose accumulators stay within int32: nearly all."""
    made = []
    for index, graph in enumerate(graphs):
        try:
            name = f"g{index}"
            made.append(generate_apart(graph, "mve", name=name) if apart else generate(graph, MVE, name=name))
        except UserError as error:
            if "int32" not in error.what:
                raise
    assert len(made) > len(graphs) * 0.8
    return made


def tight(graph: Graph, name: str) -> Generated:
    """The leanest plan: rolled rows, work in place, small scratch."""
    return generate(graph, MVE, name=name, arena_limit_bytes=1)


def check_on_host(made: Sequence[Generated], folder: Path) -> None:
    host = Host(made, folder)
    inputs = [samples(one.graph, VECTORS, seed=index) for index, one in enumerate(made)]
    found = host.run(inputs)
    problems = [differing(one, given, got) for one, given, got in zip(made, inputs, found, strict=True)]
    assert not [problem for problem in problems if problem]


def check_on_core(one: Generated, folder: Path) -> None:
    inputs = samples(one.graph, VECTORS, seed=5)
    with EmulatedSession(compile_for(one, "cortex-m55", folder)) as session:
        found = session.run_many(inputs)
    assert (
        differing(one, inputs, [array.reshape(want.shape) for array, want in zip(found, expected(one, inputs), strict=True)])
        == ""
    )


def test_layers_on_host(tmp_path: Path) -> None:
    made = made_of(drawn(layers(), 5, start=31), apart=True)
    text = "".join(one.files[f"{one.name}.c"] for one in made)
    for call in (
        "conv2d_",
        "depthwise_conv2d_8",
        "depthwise_conv2d_16",
        "dense_",
        "vectors_",
        "add_",
        "average_",
        "max_",
        "table(&",
    ):
        assert f"    marram_mve_{call}" in text, call
    check_on_host(made, tmp_path)


def test_chains_on_host(tmp_path: Path) -> None:
    graphs = drawn(chains(), 4, start=32)
    made = [tight(graph, f"tight{index}") for index, graph in enumerate(graphs[:3])] + made_of(graphs[3:], apart=False)
    assert any(slot.kind == "ring" for one in made for slot in one.plan.slots)
    check_on_host(made, tmp_path)


@pytest.mark.parametrize("start", [33, 34, 35])
def test_layers_on_core(start: int, tmp_path: Path) -> None:
    (one,) = made_of(drawn(layers(), 1, start=start), apart=True)
    check_on_core(one, tmp_path)


def test_chain_on_core(tmp_path: Path) -> None:
    (graph,) = drawn(chains(), 1, start=36)
    check_on_core(tight(graph, "tight"), tmp_path)


def test_refusals_fall_back() -> None:
    """What the family does not serve is made by ``portable``, not refused."""
    for one in made_of(drawn(layers(), 4, start=37), apart=False):
        text = one.files[f"{one.name}.c"]
        if "marram_portable_depthwise" in text:
            return
    pytest.fail("no depthwise convolution of the family was refused: draw more")


@pytest.mark.soak
def test_no_findings(tmp_path: Path) -> None:
    (graph,) = drawn(layers(), 1, start=36)
    assert findings(generate(graph, MVE, name="drawn"), tmp_path) == []


@pytest.mark.soak
@pytest.mark.parametrize("start", range(8))
def test_campaign(start: int, tmp_path: Path) -> None:
    made = made_of(drawn(layers(), 60, start=3100 + start), apart=True)
    check_on_host(made, tmp_path / "layers")
    graphs = drawn(chains(), 20, start=3200 + start)
    check_on_host([tight(graph, f"tight{index}") for index, graph in enumerate(graphs)], tmp_path / "chains")
    for index, one in enumerate(made[:20]):
        check_on_core(one, tmp_path / f"core{index}")
    assert np.all([one.plan.arena_bytes for one in made])
