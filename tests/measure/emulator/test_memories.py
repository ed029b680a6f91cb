"""Models over two memories on emulated boards: placed as planned, sizes foretold to the byte, the reference's bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.zoo_models import integer_model

from marram.compile import device
from marram.compile.c.families import family_of
from marram.compile.c.generation import Generated, generate
from marram.compile.memory import Region
from marram.compile.toolchain.cross import Compiled, compile_for, link_application, link_harness
from marram.compile.toolchain.elf import Elf, read_elf
from marram.measure.emulator.emulation import EmulatedSession
from marram.measure.extremes import golden_vectors
from marram.model import interpret

NET = integer_model("ds_cnn")
# core: fast memory (main RAM of the board), slow memory (beside it), where that begins
PLACES = {"cortex-m55": ("dtcm", "sram", 0x2100_0000), "cortex-m4": ("ssram", "psram", 0x2100_0000)}


def _generated(core: str) -> Generated:
    fast, slow, _ = PLACES[core]
    memories = (Region(name=fast, size_bytes=3000, byte_cost=0.0), Region(name=slow, size_bytes=60_000, byte_cost=0.5))
    return generate(NET, family_of(device(core)), name="net", memories=memories, flash_cost=2.0)


@pytest.fixture(scope="module", params=PLACES)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compile_for(_generated(request.param), request.param, tmp_path_factory.mktemp("core"))


def _linked(compiled: Compiled) -> Elf:
    image = link_application(compiled)
    assert (compiled.sizes.flash_bytes, compiled.sizes.ram_bytes) == (image.flash_bytes, image.ram_bytes)
    return read_elf(image.path.read_bytes(), name="application")


def test_everything_stands_where_the_plan_says(compiled: Compiled) -> None:
    plan, board = compiled.generated.plan, compiled.board
    fast, slow = plan.memories
    assert fast.copied_bytes
    assert slow.copied_bytes
    elf = _linked(compiled)
    sections = {section.name: section for section in elf.sections}
    origin = PLACES[board.core][2]
    assert sections[f".data_{slow.name}"].address == origin
    assert sections[".data"].address == board.ram_origin
    assert 0 < sections[f".data_{slow.name}"].size <= slow.copied_bytes
    assert 0 < sections[".data"].size <= fast.copied_bytes
    arenas = {name: elf.symbol(f"arena_{name}") for name in (fast.name, slow.name)}
    assert arenas[fast.name].size == fast.arena_bytes
    assert arenas[slow.name].size == slow.arena_bytes
    assert arenas[fast.name].value >= board.ram_origin
    assert arenas[slow.name].value >= origin + sections[f".data_{slow.name}"].size
    copied = {copy.task: plan.memories[copy.memory].name for copy in plan.copies}
    for symbol in elf.symbols:
        owner = next((task for task in copied if symbol.name.startswith(f"net_{task}_") and not symbol.function), None)
        if owner is not None and symbol.section:
            begin = origin if copied[owner] == slow.name else board.ram_origin
            assert begin <= symbol.value < begin + 60_000, symbol


def test_elsewhere_is_not_counted_as_main_ram(compiled: Compiled) -> None:
    _, slow = compiled.generated.plan.memories
    elsewhere = compiled.sizes.elsewhere_bytes[slow.name]
    assert slow.arena_bytes <= elsewhere <= slow.arena_bytes + slow.copied_bytes + 16
    assert compiled.sizes.main_ram_bytes == compiled.sizes.ram_bytes - elsewhere


def test_the_core_answers_as_the_reference_and_refuses_wrong_memory(compiled: Compiled) -> None:
    """The harness starts from reset: what is copied out of flash was copied by the startup code."""
    inputs = golden_vectors(compiled.generated.graph, 3, seed=1)
    expected = interpret(compiled.generated.graph, list(inputs))
    with EmulatedSession(compiled, image=link_harness(compiled)) as session:
        assert np.array_equal(session.run_many(inputs)[0], expected[0])
        one = [array[:1] for array in inputs]
        session.device.self_test(one, [expected[0][:1]])
        assert 0 < session.device.stack_bytes(one) <= compiled.stack.size_bytes


def test_a_board_without_these_memories_has_all_in_its_ram(tmp_path: Path) -> None:
    generated = _generated("cortex-m4")
    compiled = compile_for(generated, "cortex-m7", tmp_path)
    elf = _linked(compiled)
    assert compiled.sizes.elsewhere_bytes == {}
    ram = compiled.board.ram_origin
    assert all(elf.symbol(f"arena_{memory.name}").value >= ram for memory in generated.plan.memories)  # type: ignore[union-attr]
