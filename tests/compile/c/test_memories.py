"""C over several memories: the reference's bytes, nothing touched outside of any arena, wrong memory refused."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.compile.c.hosting import SANITISED, STRICT, Host, differing, spread
from tests.compile.c.int16_graphs import vectors
from tests.compile.c.recurrent_models import recurrent_graph
from tests.compile.c.test_random_graphs import check, drawn
from tests.compile.c.zoo_models import integer_model
from tests.model.graphs import integer_graphs

from marram.compile.c import generation
from marram.compile.c.archive import pack, sources_of, unpack
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.c.self_test import self_test_files
from marram.compile.memory import Memory, MemoryPlan, Problem, Region, draw_plan
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.model import interpret

NET = integer_model("ds_cnn")


def regions(fast: int, slow: int = 1 << 20) -> tuple[Region, ...]:
    return (Region(name="dtcm", size_bytes=fast, byte_cost=0.0), Region(name="sram", size_bytes=slow, byte_cost=0.5))


def scattered(problem: Problem, _regions: Sequence[Region], _weights: object = (), **_: object) -> MemoryPlan:
    """Everything in a place of its own, one value here, the next there: no loop finds its values in one memory."""
    plan, names = spread(problem), ("dtcm", "sram", "psram")
    tops, slots = [0, 0, 0], []
    for index, slot in enumerate(plan.slots):
        at = (index * 7 + index // 3) % 3
        slots.append(msgspec.structs.replace(slot, memory=at, offset_bytes=tops[at]))
        tops[at] += -(-slot.size_bytes // 64) * 64
    memories = tuple(
        Memory(name=name, size_bytes=top, byte_cost=0.0, arena_bytes=top) for name, top in zip(names, tops, strict=True)
    )
    return msgspec.structs.replace(plan, slots=tuple(slots), memories=memories, arena_bytes=sum(tops))


def scattered_c(graph: Graph, family: str, name: str) -> Generated:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "plan_in_regions", scattered)
        return generate(graph, FAMILIES[family], name=name, memories=regions(0))


@pytest.mark.parametrize("family", ["portable", "dsp", "mve"])
def test_values_here_and_there_and_constants_in_ram(family: str, tmp_path: Path) -> None:
    fast = generate(NET, FAMILIES[family]).plan.arena_bytes // 3
    made = [
        generate(NET, FAMILIES[family], name="values", memories=regions(fast)),
        generate(NET, FAMILIES[family], name="constants", memories=regions(fast), flash_cost=4.0),
    ]
    assert all(memory.arena_bytes for memory in made[0].plan.memories)
    assert not made[0].plan.copies
    assert made[1].plan.copies
    inputs = [vectors(one.graph, 2, seed=1) for one in made]
    found = Host(made, tmp_path).run(inputs)
    assert [differing(one, given, got) for one, given, got in zip(made, inputs, found, strict=True)] == ["", ""]


def test_a_memory_that_holds_all_leaves_the_other_empty(tmp_path: Path) -> None:
    made = generate(NET, FAMILIES["dsp"], memories=regions(1 << 20), flash_cost=4.0)
    assert made.plan.memories[1].arena_bytes == 0
    assert made.plan.wait_cycles == 0.0
    given = vectors(made.graph, 2, seed=5)
    assert differing(made, given, Host([made], tmp_path).run([given])[0]) == ""


def test_rolled_layers_find_their_rows_in_the_right_memory(tmp_path: Path) -> None:
    """So little of both memories that only rows in turn fit."""
    graph = integer_model("conv1d")
    least = min(size for size, _ in generate(graph, FAMILIES["dsp"]).plan.front)
    made = generate(graph, FAMILIES["dsp"], memories=regions(least // 4, least))
    assert made.plan.rolled
    assert all(memory.arena_bytes for memory in made.plan.memories)
    given = vectors(made.graph, 1, seed=2)
    assert differing(made, given, Host([made], tmp_path).run([given])[0]) == ""


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_loops_whose_values_change_their_memory(kind: str, tmp_path: Path) -> None:
    graph = recurrent_graph(kind, length=6)  # type: ignore[arg-type]
    made = [scattered_c(graph, "portable", "apart"), generate(graph, FAMILIES["dsp"], name="near", memories=regions(48))]
    text = made[0].files["apart.c"]
    assert "uint8_t *const blocks[3] = {arena_dtcm, arena_sram, arena_psram};" in text
    assert all(memory.arena_bytes for memory in made[1].plan.memories)
    inputs = [vectors(one.graph, 2, seed=3) for one in made]
    found = Host(made, tmp_path).run(inputs)
    assert [differing(one, given, got) for one, given, got in zip(made, inputs, found, strict=True)] == ["", ""]


def test_random_graphs_scattered_over_three_memories(tmp_path: Path) -> None:
    graphs = drawn(integer_graphs(), 12, start=11)
    made = []
    for index, graph in enumerate(graphs):
        try:
            made.append(scattered_c(graph, "portable", f"g{index}"))
        except UserError:  # an accumulator can overflow
            continue
    assert len(made) > 8
    check(made, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("family", ["portable", "armv6m", "dsp", "mve"])
def test_random_graphs_as_they_are_planned(family: str, tmp_path: Path) -> None:
    """Many, with little fast memory and constants copied into both."""
    made = []
    for index, graph in enumerate(drawn(integer_graphs(), 150, start=12)):
        try:
            one = generate(graph, FAMILIES[family])
        except UserError:  # an accumulator can overflow
            continue
        fast = one.plan.arena_bytes * (index % 4) // 4
        made.append(generate(graph, FAMILIES[family], name=f"g{index}", memories=regions(fast), flash_cost=4.0))
    assert len(made) > 100
    check(made, tmp_path)


_WRONG = """
#include <stdio.h>
#include <stdlib.h>
#define ALIGN NET_ARENA_ALIGN
static uint8_t area[2][1 << 16] __attribute__((aligned(64)));
static int8_t in[NET_INPUT0_SIZE], out[NET_OUTPUT0_SIZE];

static int untouched(void)
{
    for (size_t i = 0; i < sizeof area; i++) { if (((uint8_t *)area)[i] != 0x5a) { return 0; } }
    for (size_t i = 0; i < sizeof out; i++) { if (out[i] != 0x33) { return 0; } }
    return 1;
}

static void refused(net_arenas given, marram_status why, int line)
{
    if (net_run_in(&given, in, out) != why || net_invoke(&given) != why || !untouched()) {
        printf("line %d\\n", line);
        exit(1);
    }
}

int main(void)
{
    const net_arenas good = {area[0], NET_ARENA_DTCM_BYTES, area[1], NET_ARENA_SRAM_BYTES};
    memset(area, 0x5a, sizeof area);
    memset(out, 0x33, sizeof out);
    for (int which = 0; which < 2; which++) {
        net_arenas bad = good;
        *(which ? &bad.sram : &bad.dtcm) = NULL;
        refused(bad, MARRAM_NULL_POINTER, __LINE__);
        bad = good;
        *(which ? &bad.sram_bytes : &bad.dtcm_bytes) -= 1;
        refused(bad, MARRAM_ARENA_TOO_SMALL, __LINE__);
        for (size_t shift = 1; shift < ALIGN; shift++) {
            bad = good;
            *(which ? &bad.sram : &bad.dtcm) = area[which] + shift;
            refused(bad, MARRAM_ARENA_MISALIGNED, __LINE__);
        }
    }
    if (net_run_in(NULL, in, out) != MARRAM_NULL_POINTER || net_invoke(NULL) != MARRAM_NULL_POINTER) { return 2; }
    if (net_run_in(&good, NULL, out) != MARRAM_NULL_POINTER || net_run_in(&good, in, NULL) != MARRAM_NULL_POINTER) { return 3; }
    if (net_input(NULL, 0) != NULL || net_output(&good, 1) != NULL || !untouched()) { return 4; }
    if (net_run_in(&good, in, out) != MARRAM_OK || untouched()) { return 5; }
    if (net_self_test(NULL) != MARRAM_NULL_POINTER || net_self_test(&good) != MARRAM_OK) { return 6; }
    int8_t again[NET_OUTPUT0_SIZE];
    if (net_run(in, again) != MARRAM_OK || memcmp(again, out, sizeof out)) { return 7; }
    net_arenas small = good;
    small.sram_bytes = 0;
    return net_self_test(&small) == MARRAM_ARENA_TOO_SMALL ? 0 : 8;
}
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_wrong_memory_is_refused_and_nothing_is_written(compiler: str, tmp_path: Path) -> None:
    made = generate(NET, FAMILIES["dsp"], name="net", memories=regions(512), flash_cost=4.0)
    assert all(memory.arena_bytes for memory in made.plan.memories)
    inputs = vectors(made.graph, 2, seed=4)
    tests = self_test_files("net", inputs, interpret(made.graph, inputs), plan=made.plan)
    for name, text in {**made.files, **tests}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "main.c").write_text(f'#include "net.c"\n#include "net_self_test.h"\n{_WRONG}')
    command = [compiler, *STRICT, *SANITISED, "main.c", "net_self_test.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_header_is_cpp_and_names_what_firmware_places(tmp_path: Path) -> None:
    made = generate(NET, FAMILIES["dsp"], name="net", memories=regions(512), flash_cost=4.0)
    header = made.files["net.h"]
    for memory in made.plan.memories:
        upper = memory.name.upper()
        assert f"#define NET_ARENA_{upper}_BYTES {memory.arena_bytes}u" in header
        assert f'#define NET_ARENA_{upper}_SECTION ".bss.net_{memory.name}"' in header
    (tmp_path / "net.h").write_text(header)
    (tmp_path / "main.cpp").write_text('#include "net.h"\nint main() { net_arenas a = {}; return net_invoke(&a); }\n')
    subprocess.run(["g++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "main.cpp"], cwd=tmp_path, check=True)


def test_sections_are_the_firmwares_to_choose(tmp_path: Path) -> None:
    made = generate(NET, FAMILIES["dsp"], name="net", memories=regions(2048), flash_cost=4.0)
    for name, text in made.files.items():
        (tmp_path / name).write_text(text)
    chosen = ('-DNET_ARENA_SRAM_SECTION=".slow"', '-DNET_COPIED_DTCM_SECTION=".data.mine"')
    subprocess.run(["gcc", *STRICT, "-O2", *chosen, "-c", "net.c"], cwd=tmp_path, check=True)
    listed = subprocess.run(["objdump", "-h", "net.o"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    rows = {line.split()[1]: line.split() for line in listed.splitlines() if line.strip()[:1].isdigit()}
    memories = {memory.name: memory for memory in made.plan.memories}
    assert int(rows[".slow"][2], 16) == memories["sram"].arena_bytes
    assert int(rows[".bss.net_dtcm"][2], 16) == memories["dtcm"].arena_bytes
    assert 0 < int(rows[".data.mine"][2], 16) <= memories["dtcm"].copied_bytes
    assert ".data.net_dtcm" not in rows


def test_one_arena_knows_nothing_of_memories() -> None:
    made = generate(NET, FAMILIES["dsp"], name="net")
    text = "".join(made.files.values())
    assert "MARRAM_SECTION" not in text
    assert "net_invoke(void *arena, size_t arena_bytes);" in text
    assert not made.plan.memories


def test_archives_carry_the_plan_and_older_ones_are_read() -> None:
    made = generate(NET, FAMILIES["dsp"], name="net", memories=regions(512), flash_cost=4.0)
    assert unpack(pack(sources_of(made))).plan == made.plan
    plan = generate(NET, FAMILIES["dsp"], name="net").plan
    older = msgspec.to_builtins(plan)
    for name in ("memories", "copies", "wait_cycles", "slowest_wait_cycles"):
        del older[name]
    for slot in older["slots"]:
        del slot["memory"]
    assert msgspec.convert(older, MemoryPlan) == plan


def test_the_drawing_has_a_timeline_for_each_memory() -> None:
    made = generate(NET, FAMILIES["dsp"], name="net", memories=regions(2048), flash_cost=4.0)
    drawing = draw_plan(made.plan, [layer.name for layer in made.layers])
    for memory in made.plan.memories:
        assert f">{memory.name} {memory.arena_bytes + memory.copied_bytes:,} bytes<" in drawing
    for copy in made.plan.copies:
        assert f"<title>{copy.task}: constants of {copy.size_bytes:,} bytes</title>" in drawing


@pytest.mark.parametrize(
    ("name", "size", "cost", "reason"),
    [
        ("int", 1, 0.0, "field in C"),
        ("DTCM", 1, 0.0, "field in C"),
        ("a_bytes", 1, 0.0, "field in C"),
        ("sram", 1, 0.0, "named twice"),
        ("dtcm", -1, 0.0, "-1 bytes"),
        ("dtcm", 1 << 32, 0.0, "bytes"),
        ("dtcm", 1, -0.5, "cycles a byte"),
        ("dtcm", 1, np.inf, "cycles a byte"),
    ],
)
def test_memories_that_cannot_be_are_refused(name: str, size: int, cost: float, reason: str) -> None:
    given = (Region(name=name, size_bytes=size, byte_cost=cost), Region(name="sram", size_bytes=1 << 20, byte_cost=0.5))
    with pytest.raises(UserError, match=reason):
        generate(NET, FAMILIES["dsp"], memories=given)


def test_a_limit_for_one_arena_has_no_place_beside_memories() -> None:
    with pytest.raises(UserError, match="limit of 100 bytes"):
        generate(NET, FAMILIES["dsp"], memories=regions(512), arena_limit_bytes=100)
