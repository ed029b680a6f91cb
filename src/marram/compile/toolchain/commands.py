"""Outside tools: found, run with a time limit, their failures told with command and output."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from marram.core.errors import ToolError

_PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-objdump": "binutils-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "gcc": "gcc",
    "clang": "clang",
}


def tool(name: str) -> str:
    """The path of an outside tool.

    Raises:
        ToolError: it is not installed; says how to install it.
    """
    found = shutil.which(name)
    if found is None:
        package = _PACKAGES.get(name, name)
        hint = f"Install it with: scripts/system-packages mcu (or: apt-get install {package})"
        raise ToolError(f"{name} is not installed", command=name, hint=hint)
    return found


def call(arguments: Sequence[str], *, folder: Path, time_limit_s: float = 300.0) -> str:
    """Run a tool in a folder; what it wrote to standard output.

    Raises:
        ToolError: it is missing, failed, or took too long.
    """
    command = [tool(arguments[0]), *arguments[1:]]
    shown = shlex.join(arguments)
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=time_limit_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{arguments[0]} did not finish within {time_limit_s:g} s", command=shown) from error
    if done.returncode:
        raise ToolError(f"{arguments[0]} failed with status {done.returncode}", command=shown, output=done.stderr + done.stdout)
    return done.stdout
