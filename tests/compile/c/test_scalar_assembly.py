"""The assembly of the scalar families on their emulated cores gives the reference's bytes, rings and dead channels included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.hosting import differing
from tests.compile.c.scalar_layers import chains, edges
from tests.compile.c.test_random_graphs import drawn
from tests.compile.c.test_scalar_families import generate_rolled

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.toolchain.cross import compile_for, link_harness
from marram.core.errors import UserError
from marram.core.graph import Array, Graph
from marram.measure.emulator.emulation import EmulatedSession

CORES = {"cortex-m0": "armv6m", "cortex-m3": "armv7m"}
KERNELS = ("conv2d(&", "conv2d_flat(&", "dense(&", "columns_")


def answers(made: Generated, core: str, inputs: tuple[Array, ...], folder: Path) -> list[Array]:
    compiled = compile_for(made, core, folder)
    with EmulatedSession(compiled, image=link_harness(compiled)) as session:
        return list(session.run_many(inputs))


def chosen(family: str, start: int) -> list[Graph]:
    """Few graphs, as each is an image of its own, that use all kernels of the family."""
    found: list[Graph] = []
    wanted = {f"marram_{family}_{kernel}" for kernel in KERNELS}
    for graph in drawn(chains(), 90, start=start):
        try:
            text = generate(graph, FAMILIES[family], name="one").files["one.c"]
        except UserError:
            continue
        new = {kernel for kernel in wanted if kernel in text}
        if new and wanted:
            found.append(graph)
            wanted -= new
    assert not wanted
    return found


@pytest.mark.parametrize("core", sorted(CORES))
def test_assembly(core: str, tmp_path: Path) -> None:
    family = CORES[core]
    for index, graph in enumerate(chosen(family, 31)):
        make = (lambda g, f, *, name: generate(g, FAMILIES[f], name=name)) if index % 2 else generate_rolled
        made = make(graph, family, name=f"g{index}")
        inputs = edges(made.graph, 6, seed=index)
        found = answers(made, core, inputs, tmp_path / f"{index}")
        assert not differing(made, inputs, [np.asarray(array) for array in found])
