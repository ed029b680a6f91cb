"""Programs in C behind the port ``Runner``: compiled for this machine, or for a core that is emulated here."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from marram.compile.c.archive import generated_of
from marram.compile.toolchain.cross import compile_for
from marram.compile.toolchain.native import build_library
from marram.core.errors import UserError
from marram.core.graph import Array
from marram.core.ports import Session
from marram.core.program import Program
from marram.measure.emulator.emulation import EmulatedSession
from marram.measure.native import NativeSession


class _Kept:
    """A session and the folder that its files stand in, which goes with it."""

    def __init__(self, session: Session, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._session = session
        self._folder = folder

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One inference."""
        return self._session.run(inputs)

    def close(self) -> None:
        """End the session and remove its files. Safe to call twice."""
        self._session.close()
        self._folder.cleanup()


class NativeRunner:
    """Runs Programs in C as a library of this machine; every family has plain C for machines without its instructions."""

    def __init__(self, compiler: str = "gcc") -> None:
        self._compiler = compiler

    def open(self, program: Program, *, threads: int = 1) -> Session:
        """Compile and load.

        Raises:
            UserError: the Program is not in C.
            ToolError: there is no compiler, or it refuses the source.
        """
        del threads  # generated C runs on the caller's
        _need_c(program)
        folder = tempfile.TemporaryDirectory(prefix="marram-native-")
        try:
            generated = generated_of(program)
            return _Kept(NativeSession(generated, build_library(generated, Path(folder.name), compiler=self._compiler)), folder)
        except BaseException:  # whatever ended it, Ctrl-C too, the files go; it is raised on
            folder.cleanup()
            raise


class EmulatedRunner:
    """Runs Programs in C on an emulated core.

    Args:
        core: for instance ``cortex-m4``.
        time_limit_s: for one inference.
    """

    def __init__(self, core: str, *, time_limit_s: float = 60.0) -> None:
        self._core = core
        self._time_limit_s = time_limit_s

    def open(self, program: Program, *, threads: int = 1) -> Session:
        """Compile, link and start the emulator.

        Raises:
            UserError: the Program is not in C, or fits on no emulated board of the core.
            ToolError: compiler or emulator are missing or fail.
            DeviceError: the firmware does not answer.
        """
        del threads  # such cores have one
        _need_c(program)
        folder = tempfile.TemporaryDirectory(prefix="marram-emulated-")
        try:
            compiled = compile_for(generated_of(program), self._core, Path(folder.name))
            return _Kept(EmulatedSession(compiled, time_limit_s=self._time_limit_s), folder)
        except BaseException:  # whatever ended it, Ctrl-C too, the files go; it is raised on
            folder.cleanup()
            raise


def _need_c(program: Program) -> None:
    if program.format != "c":
        raise UserError(f"the program is {program.format}, not C", where=program.target)
