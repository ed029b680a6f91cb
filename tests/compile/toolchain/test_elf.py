"""ELF files and archives: what is read of good ones, and that damaged ones are refused and nothing else happens."""

from __future__ import annotations

import random

import pytest

from marram.compile.toolchain.commands import call
from marram.compile.toolchain.elf import read_archive, read_elf
from marram.core.errors import ToolError, UserError

SOURCE = """
int shared;
__attribute__((noinline)) static int twice(int x) { return 2 * x + shared; }
int f(int x) { shared = x; return twice(x) + 1; }
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elf")
    (folder / "a.c").write_text(SOURCE)
    call(["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-O1", "-ffunction-sections", "-c", "a.c"], folder=folder)
    call(["arm-none-eabi-ar", "rcs", "a.a", "a.o"], folder=folder)
    return (folder / "a.o").read_bytes(), (folder / "a.a").read_bytes()


def test_sections_symbols_and_references(data):
    elf = read_elf(data[0], name="a.o")
    assert {one.name for one in elf.functions()} == {"twice", "f"}
    f = elf.symbol("f")
    assert f is not None
    assert elf.sections[f.section].name == ".text.f"
    assert f.value % 2 == 0
    assert len(elf.contents(f.section)) == elf.sections[f.section].size
    assert any(one.section == f.section and elf.symbols[one.symbol].name == "twice" for one in elf.relocations)


def test_archive_has_its_members(data):
    (member,) = read_archive(data[1], name="a.a")
    assert member.name == "a.a(a.o/)"
    assert member.symbol("f") is not None


@pytest.mark.parametrize("text", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(200), b"MZ" * 100])
def test_other_files_are_refused(text):
    with pytest.raises(UserError):
        read_elf(text, name="x")
    with pytest.raises(UserError):
        read_archive(text, name="x")


def test_damaged_files_are_read_or_refused_never_worse(data):
    generator = random.Random(7)
    for _ in range(300):
        spoilt = bytearray(data[0])
        for _ in range(generator.randint(1, 4)):
            spoilt[generator.randrange(len(spoilt))] = generator.randrange(256)
        spoilt = spoilt[: generator.randint(1, len(spoilt))] if generator.random() < 0.3 else spoilt
        try:
            read_elf(bytes(spoilt), name="x")
        except UserError:
            continue


def test_a_tool_that_does_not_finish_is_ended(tmp_path):
    with pytest.raises(ToolError, match=r"within 0\.2 s"):
        call(["sleep", "5"], folder=tmp_path, time_limit_s=0.2)
