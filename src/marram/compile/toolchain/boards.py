"""The emulated boards: machine, memories, compiler flags. Read from ``firmware/boards/boards.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from marram.core.errors import UserError


class BoardMemory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A memory beside flash and main RAM."""

    name: str
    origin: int
    size_bytes: int


class Board(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A board: sizes in bytes, ``flags`` for arm-none-eabi-gcc, ``machine`` as QEMU calls it, ``uart`` an address or 0.

    ``memories`` are those beside flash and main RAM that images may use; models of one arena leave them alone.
    """

    name: str
    core: str
    machine: str
    flags: tuple[str, ...]
    flash_origin: int
    flash_bytes: int
    ram_origin: int
    ram_bytes: int
    stack_bytes: int
    uart: int = 0
    memories: tuple[BoardMemory, ...] = ()


@cache
def boards() -> tuple[Board, ...]:
    """All boards, in the file's order."""
    text = (files("marram") / "firmware" / "boards" / "boards.toml").read_text(encoding="ascii")
    return tuple(msgspec.convert(row, Board) for row in tomllib.loads(text)["boards"])


def boards_of(core: str) -> tuple[Board, ...]:
    """The boards that run code for a core, the one to be preferred first.

    Raises:
        UserError: no emulated board has that core.
    """
    found = tuple(board for board in boards() if board.core == _NEAREST.get(core, core))
    if not found:
        known = ", ".join(dict.fromkeys(board.core for board in boards()))
        raise UserError(f"no emulated board runs code for {core}", where="core", hint=f"Cores with a board: {known}.")
    return found


# QEMU 7.2 has no model of these; their instruction sets are those of the cores beside them.
_NEAREST = {"cortex-m0plus": "cortex-m0", "cortex-m85": "cortex-m55"}
