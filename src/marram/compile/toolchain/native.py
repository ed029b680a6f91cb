"""Generated C for the machine that builds: a shared library, and the harness as a program, with sanitisers if asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from marram.compile.c.generation import Generated
from marram.compile.toolchain.commands import call
from marram.compile.toolchain.harness import write_sources

_SANITISERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g")
_PROGRAM = ("protocol.c", "main.c", "port_posix.c")
SANITISER_SETTINGS = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=96", "UBSAN_OPTIONS": "print_stacktrace=1"}


def build_library(
    generated: Generated, folder: Path, *, compiler: str = "gcc", flags: Sequence[str] = ("-O3", "-march=native")
) -> Path:
    """A shared library of one model with the functions of its header; its path.

    Args:
        generated: the sources, of any family: each has plain C for machines without its instructions.
        folder: where everything is written; made if it is not there.
        compiler: ``gcc`` or ``clang``.
        flags: for speed.

    Raises:
        ToolError: the compiler is missing or refuses the sources.
    """
    write_sources(generated, folder, ())
    name = f"lib{generated.name}-{compiler}.so"
    call([compiler, "-std=gnu11", *flags, "-fPIC", "-shared", f"{generated.name}.c", "-o", name], folder=folder)
    return folder / name


def build_program(
    generated: Generated, folder: Path, *, compiler: str = "gcc", sanitised: bool = True, flags: Sequence[str] = ("-O1",)
) -> Path:
    """The harness with one model as a program that speaks frames over its standard input and output; its path.

    Args:
        generated: the sources.
        folder: where everything is written; made if it is not there.
        compiler: ``gcc`` or ``clang``.
        sanitised: with AddressSanitizer and UndefinedBehaviorSanitizer; the first finding ends the program. The arena is
            watched on both sides.
        flags: for the compiler.

    Raises:
        ToolError: the compiler is missing or refuses the sources.
    """
    write_sources(generated, folder, _PROGRAM)
    name = f"{generated.name}-{compiler}{'-sanitised' if sanitised else ''}"
    more = _SANITISERS if sanitised else ()
    call([compiler, "-std=gnu11", *flags, *more, *_PROGRAM, f"{generated.name}.c", "-o", name], folder=folder)
    return folder / name
