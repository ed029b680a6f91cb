"""Random legal graphs on emulated cores give the reference's bytes. Many graphs are one image: side by side, as one model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.hosting import differing
from tests.compile.c.image_chains import image_chains
from tests.compile.c.int16_graphs import int16_graphs, vectors
from tests.compile.c.joining import joined
from tests.compile.c.linted_models import within_int32
from tests.compile.c.test_random_graphs import IMAGES, drawn, planned
from tests.compile.c.test_rolled_calls import eager
from tests.model.graphs import INTEGER_OPERATORS, integer_graphs

from marram.compile.c.generation import Generated
from marram.compile.toolchain.cross import compile_for
from marram.core.graph import Array, Graph
from marram.measure.emulator.emulation import EmulatedSession

FAMILY = {
    "cortex-m0": "armv6m",
    "cortex-m3": "armv7m",
    "cortex-m4": "dsp",
    "cortex-m7": "dsp",
    "cortex-m33": "dsp",
    "cortex-m55": "mve",
}
RANDOM_VECTORS = 4


def inputs_of(graph: Graph, *, seed: int) -> list[Array]:
    """Random values, then all least, then all greatest, then a mix of both."""
    ends = []
    for index, array in enumerate(vectors(graph, 3, seed=seed)):
        limits = np.iinfo(array.dtype)
        array[0], array[1] = limits.min, limits.max
        mixed = np.random.default_rng([seed, index]).random(array[2].shape) < 0.5
        array[2] = np.where(mixed, limits.min, limits.max)
        ends.append(array)
    return [np.concatenate(pair) for pair in zip(vectors(graph, RANDOM_VECTORS, seed=seed), ends, strict=True)]


def check(made: Generated, core: str, folder: Path) -> None:
    inputs = inputs_of(made.graph, seed=3)
    with EmulatedSession(compile_for(made, core, folder)) as session:
        found = session.run_many(inputs)
    assert not differing(made, inputs, found)


def random_graphs(count: int, *, start: int) -> Graph:
    """Graphs over all operators, over those on images, in int16, and chains of layers on images, as one."""
    several: Sequence[Graph] = [
        *drawn(integer_graphs(operators=INTEGER_OPERATORS), count // 2, start=start),
        *drawn(integer_graphs(operators=IMAGES), count // 4, start=start + 1),
        *drawn(image_chains(), count // 8, start=start + 2),
        *drawn(int16_graphs(), count // 8, start=start + 3),
    ]
    return joined(within_int32(several))


@pytest.mark.parametrize("core", ["cortex-m4"])
def test_short(core: str, tmp_path: Path) -> None:
    family = FAMILY[core]
    check(planned(random_graphs(40, start=51), family, "drawn"), core, tmp_path / "planned")
    made = eager(random_graphs(16, start=61), family, "drawn")
    assert made.plan.rolled
    check(made, core, tmp_path / "rolled")


@pytest.mark.soak
@pytest.mark.parametrize("start", range(8))
@pytest.mark.parametrize("core", sorted(FAMILY))
def test_campaign(core: str, start: int, tmp_path: Path) -> None:
    family = FAMILY[core]
    for index, make in enumerate((planned, eager)):
        check(make(random_graphs(48, start=5000 + 100 * start + 10 * index), family, "drawn"), core, tmp_path / f"{index}")
