"""What a Program weighs: the resident memory of a fresh process that opens it and runs it once."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shlex import join
from signal import Signals

import msgspec

from marram.core.codec import encode
from marram.core.errors import DeviceError, ToolError
from marram.core.evidence import Figure
from marram.core.program import Program


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resident bytes: at ``start``, with the runtime ``imported``, the model ``loaded``, after one run (``ran``), ``peak``."""

    start: int
    imported: int
    loaded: int
    ran: int
    peak: int


def weigh(program: Program, command: Sequence[str], *, timeout_s: float = 120.0) -> Memory:
    """The memory of a process that opens and runs a Program once.

    Args:
        program: what to weigh.
        command: what to run with the Program's file as its last argument: ``(python, "-m", "marram.runtime.probe")``.
        timeout_s: how long that may take.

    Raises:
        DeviceError: the runtime crashed or did not end in time, which a hostile model can make it do.
        ToolError: the command failed, or printed something else than the sizes.
    """
    with tempfile.TemporaryDirectory(prefix="marram-") as folder:
        path = Path(folder, "program.msgpack")
        path.write_bytes(encode(program))
        full = [*command, str(path)]
        try:
            done = subprocess.run(full, capture_output=True, timeout=timeout_s, check=False)  # noqa: S603  # the caller's own
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"the model did not run once in {timeout_s:g} s", where=program.target) from error
        except OSError as error:
            raise ToolError(f"cannot be started: {error.strerror or error}", command=join(full)) from error
    if done.returncode < 0:
        name = Signals(-done.returncode).name
        raise DeviceError(f"the runtime {program.runtime} crashed on this model ({name})", where=program.target)
    if done.returncode:
        raise ToolError("the probe failed", command=join(full), output=done.stderr.decode(errors="replace"))
    try:
        return msgspec.json.decode(done.stdout, type=Memory)
    except msgspec.DecodeError as error:
        raise ToolError(
            "the probe printed no sizes", command=join(full), output=done.stdout.decode(errors="replace")
        ) from error


def memory_figures(memory: Memory) -> tuple[Figure, ...]:
    """``peak_memory_bytes`` of the process, and ``model_memory_bytes``: what it grew by from the import to the first answer."""
    how = "VmHWM of a fresh process that opens the model and runs it once"
    grown = "growth of VmRSS of a fresh process by opening the model and running it once"
    return (
        Figure(name="peak_memory_bytes", unit="B", value=memory.peak, samples=1, deterministic=False, method=how),
        Figure(
            name="model_memory_bytes",
            unit="B",
            value=max(0, memory.ran - memory.imported),
            samples=1,
            deterministic=False,
            method=grown,
        ),
    )
