"""Family ``host`` on 64-bit Arm, emulated: its vectors with and without the dot product give the reference's bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.compile.c.hosting import Host, differing
from tests.compile.c.int16_graphs import vectors
from tests.compile.c.test_host import drawn, lined_up
from tests.compile.c.zoo_models import NAMES, integer_model

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.c.kernels.host.flags import compiler_flags
from marram.core.graph import Array

MACHINES = {"dot product": compiler_flags("aarch64"), "oldest": ("-O2", "-march=armv8-a")}


def check(made: list[Generated], inputs: Sequence[Sequence[Array]], flags: tuple[str, ...], folder: Path) -> None:
    host = Host(made, folder, compiler=("aarch64-linux-gnu-gcc",), flags=(*flags, "-static"))
    found = host.run(inputs, runner=("qemu-aarch64",))
    problems = [differing(one, given, got) for one, given, got in zip(made, inputs, found, strict=True)]
    assert not [problem for problem in problems if problem]


@pytest.mark.soak
@pytest.mark.parametrize("machine", MACHINES)
def test_layers(machine: str, tmp_path: Path) -> None:
    rng = random.Random(91)
    made = [generate(drawn(rng), FAMILIES["host"], name=f"c{index}") for index in range(150)]
    check(made, [lined_up(one, index) for index, one in enumerate(made)], MACHINES[machine], tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("machine", MACHINES)
def test_zoo(machine: str, tmp_path: Path) -> None:
    made = [generate(integer_model(name), FAMILIES["host"], name=name) for name in NAMES]
    check(made, [vectors(one.graph, 2, seed=5) for one in made], MACHINES[machine], tmp_path)
