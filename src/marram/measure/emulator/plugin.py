"""The counting plugin of the emulator: compiled once, kept under a digest of its source."""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files
from pathlib import Path

import msgspec

from marram.compile.toolchain.commands import call
from marram.core.codec import digest
from marram.core.errors import DeviceError

_FLAGS = ("-O2", "-std=gnu11", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")


def cache_folder() -> Path:
    """Where compiled tools are kept for the next time: ``$XDG_CACHE_HOME/marram`` or ``~/.cache/marram``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "marram"


def plugin_file(folder: Path | None = None) -> Path:
    """The compiled plugin; made when it is not there. Two processes that make it at once do not disturb each other.

    Args:
        folder: where it is kept; None takes ``cache_folder()``.

    Raises:
        ToolError: gcc is missing or fails.
    """
    source = (files("marram") / "firmware" / "emulator" / "profile.c").read_bytes()
    folder = folder or cache_folder()
    found = folder / f"profile-{digest(source)[7:23]}.so"
    if found.is_file():
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        (Path(work) / "profile.c").write_bytes(source)
        call(["gcc", *_FLAGS, "profile.c", "-o", "profile.so"], folder=Path(work))
        (Path(work) / "profile.so").replace(found)
    return found


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What the plugin counted: executions of blocks, ``{(part, address, instructions): executions}``, and each run's total."""

    blocks: dict[tuple[int, int, int], int]
    runs: tuple[int, ...]


def read_counts(text: str) -> Counts:
    """The file that the plugin writes.

    Raises:
        DeviceError: it is not whole, or a mark was not at the beginning of a block.
    """
    rows = [line.split() for line in text.splitlines()]
    if not rows or rows[-1] != ["end"]:
        raise DeviceError(
            "the counts of the emulator are not whole", where="profile plugin", hint=" ".join(rows[-1]) if rows else None
        )
    blocks = {(int(row[1]), int(row[2], 16), int(row[3])): int(row[4]) for row in rows if row[0] == "block"}
    return Counts(blocks=blocks, runs=tuple(int(row[1]) for row in rows if row[0] == "run"))
