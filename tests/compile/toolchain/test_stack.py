"""The bound on the stack: calls, jumps, pointers, assembly, circles."""

from __future__ import annotations

import pytest

from marram.compile.toolchain.commands import call
from marram.compile.toolchain.elf import read_elf
from marram.compile.toolchain.linkage import linked
from marram.compile.toolchain.stack import read_stack_usage, stack_bound
from marram.core.errors import InternalError, UserError

FLAGS = ("-mcpu=cortex-m4", "-mthumb", "-O2", "-ffunction-sections", "-fstack-usage")


def bound(tmp_path, text, function="top"):
    (tmp_path / "a.c").write_text(text)
    call(["arm-none-eabi-gcc", *FLAGS, "-c", "a.c"], folder=tmp_path)
    elf = read_elf((tmp_path / "a.o").read_bytes(), name="a.o")
    return stack_bound(linked([elf], [], entry=function), function, read_stack_usage((tmp_path / "a.su").read_text()))


LEAF = """
void sink(volatile char *);
void sink(volatile char *p) { p[0] = 1; }
__attribute__((noinline)) static int leaf(int x) { volatile char b[96]; sink(b); return b[0] + x; }
"""


def test_deepest_path_counts(tmp_path):
    found = bound(tmp_path, LEAF + "int top(int x) { volatile char b[40]; sink(b); return leaf(x) + b[0]; }")
    assert [name for name, _ in found.path] == ["top", "leaf"]
    assert found.size_bytes == sum(size for _, size in found.path)
    assert 136 <= found.size_bytes <= 176


def test_a_jump_to_another_function_gives_the_frame_back_first(tmp_path):
    found = bound(tmp_path, LEAF + "int top(int x) { { volatile char b[40]; sink(b); x += b[0]; } return leaf(x); }")
    assert [name for name, _ in found.path] == ["leaf"]


def test_pushes_of_assembly_count(tmp_path):
    text = '__attribute__((naked, noinline)) static int leaf(int x) { __asm volatile("push {r4-r11,lr}\\nsub sp, #20\\n'
    found = bound(tmp_path, text + 'add sp, #20\\npop {r4-r11,pc}"); }\nint top(int x) { return leaf(x) + 1; }')
    assert found.path[-1] == ("leaf", 56)


def test_calls_through_pointers_can_end_at_whatever_is_pointed_to(tmp_path):
    text = LEAF + "typedef int (*call)(int); static const call table[2] = {leaf, leaf};\n"
    found = bound(tmp_path, text + "int top(int x) { return table[x & 1](x) + 1; }")
    assert found.path[-1][0] == "leaf"
    with pytest.raises(UserError, match="pointer"):
        bound(tmp_path, "int top(int (*f)(int)) { return f(1) + 1; }")


def test_circles_and_growing_frames_are_refused(tmp_path):
    with pytest.raises(UserError, match="circle"):
        bound(tmp_path, "int top(int n) { return n < 2 ? n : top(n - 1) * top(n - 2) + 3; }")
    text = "int top(int); __attribute__((noipa)) int other(int x) { return x ? top(x - 1) + 1 : 0; }\n"
    with pytest.raises(UserError, match="circle"):
        bound(tmp_path, text + "__attribute__((noipa)) int top(int x) { return other(x) + 2; }")
    with pytest.raises(UserError, match="no fixed size"):
        bound(tmp_path, "void sink(char *); int top(int n) { char b[n]; sink(b); return b[0]; }")
    with pytest.raises(InternalError):
        bound(tmp_path, "int top(int n) { return n; }", "elsewhere")
