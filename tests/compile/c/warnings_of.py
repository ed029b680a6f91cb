"""What the compilers say of a C file: gcc and clang for this machine, arm-none-eabi-gcc for every core of a family."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from marram.compile.c.generation import Generated
from marram.compile.toolchain.boards import boards
from marram.compile.toolchain.cross import COMPILER, FLAGS, WARNINGS

CORES = {
    "portable": ("cortex-m0", "cortex-m3", "cortex-m4"),
    "armv6m": ("cortex-m0",),
    "armv7m": ("cortex-m3",),
    "dsp": ("cortex-m4", "cortex-m7", "cortex-m33"),
    "mve": ("cortex-m55",),
    "host": (),
}
HERE = (("-std=c11", "-O2"), ("-std=gnu11", "-O3", "-march=native"))


def commands(family: str, *, here: tuple[tuple[str, ...], ...] = HERE, cores: int = 9) -> Iterator[tuple[str, ...]]:
    """Every compiler that a family's C is for, with the flags of the product and, on this machine, those of the standard."""
    for compiler in ("gcc", "clang"):
        for flags in here:
            yield (compiler, *flags, "-Wsign-conversion")
    for core in CORES[family][:cores]:
        board = next(board for board in boards() if board.core == core)
        yield (COMPILER, *board.flags, *FLAGS)


def warnings_of(made: Generated, folder: Path, *, here: tuple[tuple[str, ...], ...] = HERE, cores: int = 9) -> list[str]:
    """The first lines of each compiler that refuses the model's file; nothing is left out of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.files.items():
        (folder / name).write_text(text)
    found = []
    for command in commands(made.family, here=here, cores=cores):
        line = [*command, *WARNINGS, "-c", f"{made.name}.c", "-o", "made.o"]
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            found.append(f"{' '.join(command)}: {done.stderr[:2000]}")
    return found
