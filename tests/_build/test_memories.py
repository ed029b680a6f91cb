"""Memories in words: what ``--memory`` says, what the profile adds, and what a compiled model's result has of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.compile.c.zoo_models import integer_model

from marram._build.compiling import CompileResult, compile_model
from marram._build.memories import check_limits, regions_of
from marram.compile import device
from marram.core.errors import UserError
from marram.model import save

M4, M7 = device("cortex-m4"), device("cortex-m7")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("dtcm=64KiB", "sram=512KiB"), [("dtcm", 65_536, 0.0), ("sram", 524_288, 0.25)]),
        (("a=100:1.5", "b=0.5MiB", "c=7B:0"), [("a", 100, 1.5), ("b", 524_288, 1.75), ("c", 7, 0.0)]),
        ((), []),
    ],
)
def test_sizes_and_costs(texts: tuple[str, ...], expected: list[tuple[str, int, float]]) -> None:
    assert [(region.name, region.size_bytes, region.byte_cost) for region in regions_of(texts, M4)] == expected


def test_what_is_left_out_stands_in_the_profile() -> None:
    stated = {memory.name: memory.size_bytes for memory in M7.memories}
    found = regions_of(("dtcm", "sram:0.5"), M7)
    assert [(region.size_bytes, region.byte_cost) for region in found] == [(stated["dtcm"], 0.0), (stated["sram"], 0.5)]
    assert all(memory.source for memory in M7.memories)
    slow = msgspec.structs.replace(M7.memories[0], byte_cost=3.0)
    assert regions_of(("dtcm",), msgspec.structs.replace(M7, memories=(slow,)))[0].byte_cost == 3.0


@pytest.mark.parametrize("text", ["", "=4", "dtcm=", "dtcm=4XB", "dtcm=-4", "dtcm=4KiB:", "dtcm=4KiB:x", "dtcm:1:2"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="no memory"):
        regions_of((text,), M7)


def test_a_size_must_be_known() -> None:
    with pytest.raises(UserError, match="has no size") as refusal:
        regions_of(("dtcm",), M4)
    assert "describes no memories" in (refusal.value.hint or "")


def test_limits_that_contradict_are_refused() -> None:
    with pytest.raises(UserError, match="no meaning beside"):
        check_limits(("dtcm",), 8.0, None)
    with pytest.raises(UserError, match="no meaning without"):
        check_limits((), None, 1.0)


def _compiled(tmp_path: Path, *memories: str, flash_cost: float | None) -> CompileResult:
    path = tmp_path / "net.onnx"
    save(integer_model("ds_cnn"), path)
    out = tmp_path / "out"
    return compile_model(path, device_name="cortex-m7", out=out, memories=memories, flash_cost=flash_cost)


def test_the_result_says_what_stands_where(tmp_path: Path) -> None:
    result = _compiled(tmp_path, "dtcm=4KiB", "sram=64KiB:0.5", flash_cost=2.0)
    spread = result.spread
    assert spread is not None
    assert spread.wait_cycles < spread.slowest_wait_cycles
    for memory in spread.memories:
        own = [stand for stand in spread.stands if stand.memory == memory.name]
        assert sum(stand.size_bytes for stand in own if stand.kind == "copy") == memory.copied_bytes
        tops = [stand.offset_bytes + stand.size_bytes for stand in own if stand.offset_bytes is not None]
        assert max(tops, default=0) <= memory.arena_bytes
    assert result.arena_bytes == sum(memory.arena_bytes for memory in spread.memories)
    assert "const net_arenas *arenas" in (tmp_path / "out" / "net_self_test.h").read_text()
    assert any(line.startswith("dtcm: ") for line in result.explanation)


def test_what_finds_no_room_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"finds no room in dtcm \(1,024 bytes\)"):
        _compiled(tmp_path, "dtcm=1KiB", flash_cost=None)
    assert not (tmp_path / "out").exists()
