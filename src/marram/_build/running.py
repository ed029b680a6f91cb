"""What runs a Program on this machine."""

from __future__ import annotations

from marram.core.ports import Runner
from marram.core.program import Program
from marram.measure.c_runners import NativeRunner
from marram.runtime import runner


def runner_here(program: Program) -> Runner:
    """The Program's runtime, or for C a compiler: every kernel family has plain C that this machine compiles."""
    return NativeRunner() if program.format == "c" else runner(program.runtime)
