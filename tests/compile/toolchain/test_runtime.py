"""The firmware's own C: without warnings on every core and on this machine, and its memory functions are right."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.compile.toolchain.nets import net, plain

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate
from marram.compile.memory import Region
from marram.compile.toolchain.boards import boards
from marram.compile.toolchain.commands import call
from marram.compile.toolchain.cross import COMPILER, WARNINGS
from marram.compile.toolchain.harness import write_sources

RUNTIME = Path(__file__).parents[3] / "src" / "marram" / "firmware" / "runtime"
SOURCES = sorted(path.name for path in RUNTIME.glob("*.c"))
FOR_DEVICES = [name for name in SOURCES if name != "port_posix.c"]


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.name)
def test_no_warnings_on_any_core(board, tmp_path):
    write_sources(plain(), tmp_path, tuple(FOR_DEVICES))
    flags = ("-std=gnu11", "-O2", "-mthumb", "-fno-tree-loop-distribute-patterns", "-fsyntax-only", *WARNINGS)
    call([COMPILER, *board.flags, *flags, *FOR_DEVICES], folder=tmp_path)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_no_warnings_on_this_machine(compiler, tmp_path):
    names = ("protocol.c", "main.c", "port_posix.c", "memory.c")
    write_sources(plain(), tmp_path, names)
    call([compiler, "-std=gnu11", "-O2", "-fsyntax-only", *WARNINGS, *names], folder=tmp_path)


def several():
    """The net over two memories."""
    memories = (Region(name="dtcm", size_bytes=128, byte_cost=0.0), Region(name="sram", size_bytes=4096, byte_cost=1.0))
    made = generate(net(), FAMILIES["portable"], name="net", memories=memories)
    assert all(memory.arena_bytes for memory in made.plan.memories)
    return made


FILLED = "-DMARRAM_MEMORIES(X)=X(sram) X(psram)"


def test_no_warnings_over_several_memories(tmp_path):
    write_sources(several(), tmp_path, tuple(SOURCES))
    flags = ("-std=gnu11", "-O2", "-fsyntax-only", *WARNINGS)
    (board,) = (board for board in boards() if board.name == "mps3-an547")
    call([COMPILER, *board.flags, "-mthumb", *flags, FILLED, *FOR_DEVICES], folder=tmp_path)
    call(["clang", *flags, "protocol.c", "main.c", "port_posix.c"], folder=tmp_path)
    checks = ("--enable=warning,style,performance,portability", "--inline-suppr", "--error-exitcode=1", "--quiet")
    call(["cppcheck", *checks, "--suppress=missingIncludeSystem", "-D__arm__", FILLED, *SOURCES], folder=tmp_path)


def test_cppcheck_finds_nothing(tmp_path):
    write_sources(plain(), tmp_path, tuple(SOURCES))
    plugin = RUNTIME.parent / "emulator" / "profile.c"
    (tmp_path / "profile.c").write_text(plugin.read_text())
    checks = ("--enable=warning,style,performance,portability", "--inline-suppr", "--error-exitcode=1", "--quiet")
    call(["cppcheck", *checks, "--suppress=missingIncludeSystem", "-D__arm__", *SOURCES, "profile.c"], folder=tmp_path)


TRIAL = r"""
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
void *our_memcpy(void *restrict, const void *restrict, size_t);
void *our_memset(void *, int, size_t);
void *our_memmove(void *, const void *, size_t);
int our_memcmp(const void *, const void *, size_t);
static uint8_t a[160], b[160];
static void fill(void) { for (int i = 0; i < 160; i++) { a[i] = (uint8_t)(i * 7); b[i] = (uint8_t)(i * 13 + 5); } }
int main(void)
{
    unsigned wrong = 0;
    for (unsigned to = 0; to < 9; to++) for (unsigned from = 0; from < 9; from++) for (unsigned n = 0; n < 70; n++) {
        fill();
        wrong += our_memcpy(a + 20 + to, b + from, n) != a + 20 + to;
        for (unsigned i = 0; i < 160; i++) {
            const int inside = i >= 20 + to && i < 20 + to + n;
            wrong += a[i] != (inside ? b[i - 20 - to + from] : (uint8_t)(i * 7));
        }
        fill();
        our_memset(a + 20 + to, (int)(n + 300), n);
        for (unsigned i = 0; i < 160; i++)
            wrong += a[i] != (i >= 20 + to && i < 20 + to + n ? (uint8_t)(n + 300) : (uint8_t)(i * 7));
        fill();
        our_memmove(a + 20 + to, a + 20 + from, n);
        for (unsigned i = 0; i < 160; i++) {
            const int inside = i >= 20 + to && i < 20 + to + n;
            wrong += a[i] != (uint8_t)((inside ? i - to + from : i) * 7);
        }
        fill();
        wrong += our_memcmp(a + to, a + to, n) != 0;
        if (n) { a[to + n - 1]++; b[0] = 0; }
    }
    printf("%u\n", wrong);
    return wrong != 0;
}
"""


def test_memory_functions(tmp_path):
    text = (RUNTIME / "memory.c").read_text()
    for name in ("memcpy", "memset", "memmove", "memcmp"):
        text = text.replace(f" {name}(", f" our_{name}(").replace(f"*{name}(", f"*our_{name}(")
    (tmp_path / "memory.c").write_text(text)
    (tmp_path / "trial.c").write_text(TRIAL)
    flags = (
        "-std=gnu11",
        "-O2",
        "-fno-tree-loop-distribute-patterns",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    )
    call(["gcc", *flags, "memory.c", "trial.c", "-o", "trial"], folder=tmp_path)
    assert call([str(tmp_path / "trial")], folder=tmp_path) == "0\n"
