"""Generated C -> images for a core: compiled by arm-none-eabi-gcc, sizes and stack forecast, then linked."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from marram.compile.c.generation import Generated
from marram.compile.toolchain.boards import Board, boards_of
from marram.compile.toolchain.commands import call
from marram.compile.toolchain.elf import Elf, read_archive, read_elf
from marram.compile.toolchain.elsewhere import elsewhere, script_of, startup_flags
from marram.compile.toolchain.harness import RUNTIME_HEADERS, runtime_text, write_sources
from marram.compile.toolchain.linkage import Linkage, linked
from marram.compile.toolchain.sizes import Sizes, forecast, measured
from marram.compile.toolchain.stack import StackBound, read_stack_usage, stack_bound
from marram.core.errors import ToolError, UserError

COMPILER = "arm-none-eabi-gcc"
ENTRY = "marram_reset"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
# Two layers that do the same would become one function, and nobody could tell what each of them costs.
FLAGS = (
    *("-std=gnu11", "-O2", "-mthumb", "-ffunction-sections", "-fdata-sections", "-fno-merge-constants", "-fstack-usage"),
    "-fno-ipa-icf-functions",
)
_RUNTIME_FLAGS = ("-fno-tree-loop-distribute-patterns",)  # or memcpy's loop becomes a call of memcpy
_APPLICATION = ("startup.c", "memory.c", "application.c")
_HARNESS = ("startup.c", "memory.c", "protocol.c", "main.c")
SEMIHOSTING, UART = "port_semihosting.c", "port_cmsdk_uart.c"
_OF_MODEL = ("application.c", "main.c")
_OF_BOARD = ("startup.c", "memory.c", "protocol.c", SEMIHOSTING, UART)


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A model in object form for one board: its folder, and the forecasts of the smallest application with it."""

    generated: Generated
    board: Board
    folder: Path
    sizes: Sizes
    stack: StackBound


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A linked file, and what was read from it."""

    path: Path
    board: Board
    flash_bytes: int
    ram_bytes: int


def compile_model(generated: Generated, board: Board, folder: Path, *, flags: Sequence[str] = ()) -> Compiled:
    """Compile a model and the runtime for a board, and forecast the sizes; nothing is linked.

    Args:
        generated: the sources.
        board: for which.
        folder: where everything is written; made if it is not there.
        flags: more flags for the model's file, for instance ``-O3``.

    Raises:
        ToolError: the compiler is missing or refuses the sources.
        UserError: the stack has no bound.
    """
    write_sources(generated, folder, _OF_MODEL)
    call([COMPILER, *board.flags, *FLAGS, *flags, "-c", f"{generated.name}.c"], folder=folder)
    call([COMPILER, *board.flags, *FLAGS, *WARNINGS, *_RUNTIME_FLAGS, "-c", *_OF_MODEL], folder=folder)
    others = elsewhere(generated, board)
    for name, data in _board_objects(board, startup_flags(others)).items():
        (folder / name).write_bytes(data)
    linkage = _linkage(generated, board, folder)
    return Compiled(
        generated=generated,
        board=board,
        folder=folder,
        sizes=forecast(linkage, board, others),
        stack=_stack(generated, linkage, folder),
    )


@cache
def _board_objects(board: Board, flags: tuple[str, ...]) -> dict[str, bytes]:
    """The runtime's files that know nothing of a model, compiled for a board once in this process."""
    uart = (f"-DMARRAM_UART={board.uart:#x}u",) if board.uart else ()
    with tempfile.TemporaryDirectory(prefix="marram-runtime-") as work:
        for name in (*RUNTIME_HEADERS, *_OF_BOARD):
            (Path(work) / name).write_text(runtime_text(name), encoding="ascii")
        call([COMPILER, *board.flags, *FLAGS, *WARNINGS, *_RUNTIME_FLAGS, *uart, *flags, "-c", *_OF_BOARD], folder=Path(work))
        return {path.name: path.read_bytes() for path in Path(work).iterdir() if path.suffix in {".o", ".su"}}


def compile_for(generated: Generated, core: str, folder: Path, *, flags: Sequence[str] = ()) -> Compiled:
    """Compile for the first board of a core on which the harness fits as well.

    Raises:
        UserError: it fits on none; says what it needs and what they have.
        ToolError: as ``compile_model``.
    """
    needs = []
    for board in boards_of(core):
        compiled = compile_model(generated, board, folder / board.name, flags=flags)
        if fits(compiled):
            return compiled
        needs.append(
            f"{board.name}: needs {compiled.sizes.flash_bytes} of {board.flash_bytes} bytes of flash and "
            f"{compiled.sizes.main_ram_bytes + compiled.stack.size_bytes} of {board.ram_bytes} bytes of RAM"
        )
    raise UserError(f"{generated.name} fits on no emulated board of {core}", where="core", hint="; ".join(needs))


# What the harness has over the smallest application: its code, its guards, its own stack frames.
_HARNESS_FLASH, _HARNESS_RAM, _HARNESS_STACK = 4096, 256, 512


def fits(compiled: Compiled) -> bool:
    """Whether the harness image with this model fits on its board, by the forecasts."""
    board = compiled.board
    flash = compiled.sizes.flash_bytes + _HARNESS_FLASH
    ram = compiled.sizes.main_ram_bytes + _HARNESS_RAM + board.stack_bytes
    stack = compiled.stack.size_bytes + _HARNESS_STACK
    own = flash <= board.flash_bytes and ram <= board.ram_bytes and stack <= board.stack_bytes
    taken = compiled.sizes.elsewhere_bytes
    return own and all(taken.get(each.name, 0) + _HARNESS_RAM <= each.size_bytes for each in board.memories)


def link_application(compiled: Compiled) -> Image:
    """The smallest image with the model in it: vectors, startup, memory functions, one call."""
    return _link(compiled, "application", _APPLICATION)


def link_harness(compiled: Compiled, *, port: str = SEMIHOSTING) -> Image:
    """The image that answers the frames of ``firmware/runtime/protocol.h`` over a port."""
    return _link(compiled, f"harness_{Path(port).stem}", (*_HARNESS, port))


def _objects(generated: Generated, runtime: Sequence[str]) -> list[str]:
    return [f"{Path(name).stem}.o" for name in (*runtime, f"{generated.name}.c")]


def _link(compiled: Compiled, name: str, runtime: Sequence[str]) -> Image:
    board, folder = compiled.board, compiled.folder
    others = elsewhere(compiled.generated, board)
    script = script_of(runtime_text("image.ld.in"), board, others)
    (folder / "image.ld").write_text(script, encoding="ascii")
    call(
        [
            *(COMPILER, *board.flags, "-mthumb", "-nostdlib", "-nostartfiles", "-Wl,--gc-sections", "-Wl,--fatal-warnings"),
            *("-T", "image.ld", *_objects(compiled.generated, runtime), "-lgcc", "-o", f"{name}.elf"),
        ],
        folder=folder,
    )
    path = folder / f"{name}.elf"
    flash, ram = measured(read_elf(path.read_bytes(), name=path.name), board, others)
    return Image(path=path, board=board, flash_bytes=flash, ram_bytes=ram)


def _linkage(generated: Generated, board: Board, folder: Path) -> Linkage:
    objects = [read_elf((folder / name).read_bytes(), name=name) for name in _objects(generated, _APPLICATION)]
    return linked(objects, _compiler_library(board, folder), entry=ENTRY)


def _compiler_library(board: Board, folder: Path) -> tuple[Elf, ...]:
    path = Path(call([COMPILER, *board.flags, "-mthumb", "-print-libgcc-file-name"], folder=folder).strip())
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ToolError(f"its library cannot be read: {error}", command=COMPILER) from error
    return read_archive(data, name="libgcc.a")


def _stack(generated: Generated, linkage: Linkage, folder: Path) -> StackBound:
    frames: dict[str, int] = {}
    for name in (generated.name, "memory"):
        frames |= read_stack_usage((folder / f"{name}.su").read_text())
    return stack_bound(linkage, f"{generated.name}_invoke", frames)
