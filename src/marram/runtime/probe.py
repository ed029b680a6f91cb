"""What a Program weighs in a process of its own: ``python -m marram.runtime.probe PROGRAM_FILE`` prints it as JSON.

The file holds a Program in the canonical encoding. Sizes are resident bytes as Linux counts them in ``/proc/self/status``:
``start`` after this module's own imports, ``imported`` after the runtime's, ``loaded`` with the model open, ``ran`` after one
inference on zeros, and ``peak`` the largest of the process's whole life.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np

from marram.core.codec import decode
from marram.core.errors import DeviceError, MarramError, UserError
from marram.core.program import Program
from marram.runtime.backends import runner

_MODULES = {"onnxruntime": "onnxruntime", "litert": "ai_edge_litert.interpreter", "openvino": "openvino"}


def probe(program: Program) -> dict[str, int]:
    """Resident bytes of this process at each step of opening and running a Program once.

    Raises:
        MarramError: the Program cannot be opened or run.
    """
    sizes = {"start": _status_bytes("VmRSS")}
    backend = runner(program.runtime)
    # a failed import is reported by the backend below, which names the extra to install
    if _importable(_MODULES[program.runtime]):
        sizes["imported"] = _status_bytes("VmRSS")
    session = backend.open(program, threads=1)
    try:
        sizes["loaded"] = _status_bytes("VmRSS")
        session.run([np.zeros(tensor.shape, tensor.dtype) for tensor in program.inputs])
        sizes["ran"] = _status_bytes("VmRSS")
    finally:
        session.close()
    # the kernel updates its high-water mark in batches, so a size just read may be above it
    return sizes | {"peak": max(_status_bytes("VmHWM"), *sizes.values())}


def main(arguments: list[str]) -> int:
    """The command; its exit code is that of the error, if there is one."""
    try:
        if len(arguments) != 1:
            raise UserError("one file is needed", hint="python -m marram.runtime.probe PROGRAM_FILE")
        sizes = probe(decode(_read(arguments[0]), Program))
    except MarramError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(msgspec.json.encode(sizes).decode() + "\n")
    return 0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=path) from error


def _importable(module: str) -> bool:
    from importlib import import_module

    try:
        import_module(module)
    except ImportError:
        return False
    return True


def _status_bytes(field: str) -> int:
    """One field of the kernel's account of this process."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise DeviceError("this system does not tell a process's memory", where="/proc/self/status") from error
    line = next(line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
