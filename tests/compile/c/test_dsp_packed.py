"""Weights of 4 and 2 bits in family ``dsp``: every shape, ending and extreme, in C on this machine and on a Cortex-M4."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.compile.c import test_dsp_depthwise as depthwise_cases
from tests.compile.c.hosting import generate_apart
from tests.compile.c.test_dsp_cores import every_kernel
from tests.compile.c.test_dsp_tiles import chains, check, fans, lean, on_core
from tests.compile.c.test_random_graphs import narrow

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.core.graph import Graph

KERNELS = {
    *(f"marram_dsp_tile_{ending}_{bits}" for ending in ("floored", "away", "exact") for bits in (4, 2)),
    "marram_dsp_packed_conv2d_lean",
    "marram_dsp_packed_dense_4",
    "marram_dsp_packed_dense_2",
}


def few(graphs: list[Graph]) -> list[Graph]:
    """The graphs with weights of 4 bits, every other one of 2."""
    return [narrow(graph, bits=4 if index % 2 else 2) for index, graph in enumerate(graphs)]


def packed(graph: Graph, name: str) -> Generated:
    return generate_apart(graph, "dsp", name=name, pack_weights=True)


def test_layers_side_by_side(tmp_path: Path) -> None:
    graphs = few(fans(2, 28))
    made = [packed(graph, f"g{index}") for index, graph in enumerate(graphs[:20])]
    made += [lean(graph, f"g{20 + index}", pack_weights=True) for index, graph in enumerate(graphs[20:])]
    text = "".join(one.files[f"{one.name}.c"] for one in made)
    assert {kernel for kernel in KERNELS if kernel in text} == KERNELS
    check(made, tmp_path)


def test_rings(tmp_path: Path) -> None:
    made = [
        generate(graph, FAMILIES["dsp"], name=f"g{index}", arena_limit_bytes=1, pack_weights=True)
        for index, graph in enumerate(few(chains(2, 8)))
    ]
    assert sum(slot.kind == "ring" for one in made for slot in one.plan.slots) >= 2
    check(made, tmp_path)


@pytest.mark.parametrize("index", range(4))
def test_on_cortex_m4(index: int, tmp_path: Path) -> None:
    graph = few(fans(30, 4, layers=16))[index]
    on_core(lean(graph, "net", pack_weights=True) if index > 1 else packed(graph, "net"), "cortex-m4", tmp_path)


def test_flash_is_half_of_the_bytes() -> None:
    graph = narrow(fans(5, 1, layers=3)[0], bits=4)
    whole, half = (generate_apart(graph, "dsp", name="net", pack_weights=pack) for pack in (False, True))
    weights = sum(value.size for name, value in graph.constants.items() if value.dtype == np.int8)
    saved = sum(row.weight_bytes for row in whole.layers) - sum(row.weight_bytes for row in half.layers)
    assert saved > 0.4 * weights


PACKED_DEPTHWISE = "marram_dsp_packed_depthwise_conv2d("


def depthwise(count: int, start: int) -> list[Generated]:
    """Any windows and arrangements, with weights of 4 bits, every other one of 2, as far as the family serves them."""
    found, rng = [], random.Random(start)
    for index in range(count):
        drawn = depthwise_cases.case(rng)
        small = msgspec.structs.replace(drawn, graph=narrow(drawn.graph, bits=4 if index % 2 else 2))
        one = depthwise_cases.made(small, f"d{index}", pack_weights=True)
        found += [one] if PACKED_DEPTHWISE in one.files[f"d{index}.c"] else []
    assert len(found) > 0.5 * count
    return found


def test_depthwise_windows(tmp_path: Path) -> None:
    depthwise_cases.check(depthwise(14, 1), tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(2, 12))
def test_depthwise_windows_at_length(start: int, tmp_path: Path) -> None:
    depthwise_cases.check(depthwise(60, start), tmp_path)


@pytest.mark.parametrize("bits", [4, 2])
def test_depthwise_on_cortex_m4(bits: int, tmp_path: Path) -> None:
    made = generate(narrow(every_kernel(), bits=bits), FAMILIES["dsp"], name="net", pack_weights=True)
    assert PACKED_DEPTHWISE in made.files["net.c"]
    on_core(made, "cortex-m4", tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_campaign(seed: int, tmp_path: Path) -> None:
    graphs = few(fans(1000 + 100 * seed, 60) + chains(2000 + 100 * seed, 30))
    check([packed(graph, f"g{index}") for index, graph in enumerate(graphs)], tmp_path)
