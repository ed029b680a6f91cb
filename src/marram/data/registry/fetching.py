"""Outside tools that fetch packages, and the hash that every fetched file must have."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from marram.core.errors import IntegrityError, ToolError

OUTPUT_KEPT = 2000
TIME_LIMIT_S = 600


def run(command: Sequence[str], *, folder: Path, what: str, hint: str) -> None:
    """Run a command in a folder.

    Raises:
        ToolError: it is not there, failed or took too long; with the command and its output.
    """
    text = " ".join(command)
    try:
        done = subprocess.run(  # noqa: S603  # fixed commands of the modules beside this one
            list(command), cwd=folder, capture_output=True, text=True, errors="replace", timeout=TIME_LIMIT_S, check=False
        )
    except FileNotFoundError as error:
        raise ToolError(f"{what}: {command[0]} is not on this machine", command=text, hint=hint) from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{what}: no answer in {TIME_LIMIT_S} s", command=text, hint=hint) from error
    if done.returncode:
        output = (done.stdout + done.stderr)[-OUTPUT_KEPT:]
        raise ToolError(f"{what}: exit code {done.returncode}", command=text, output=output, hint=hint)


def verify(data: bytes, expected: str, *, where: str) -> None:
    """Hold bytes against their pinned SHA-256 (hexadecimal).

    Raises:
        IntegrityError: they are others.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise IntegrityError(
            f"SHA-256 is {found}, expected {expected}", where=where, hint="Remove the file and fetch it again; do not use it."
        )
