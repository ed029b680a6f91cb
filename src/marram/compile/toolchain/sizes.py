"""Flash and RAM of an image: forecast from object files before it is linked, and read from the linked file."""

from __future__ import annotations

import msgspec

from marram.compile.toolchain.boards import Board
from marram.compile.toolchain.elf import EXECUTABLE, NOBITS, Elf, Section
from marram.compile.toolchain.linkage import KEPT, Linkage
from marram.core.errors import InternalError

_END_ALIGN = 8
_OUTPUTS = (
    (".text", (".text", ".rodata")),
    (".data", (".data",)),
    (".bss", (".bss",)),
    (".arena", (".arena",)),
)


class Sizes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes of an image.

    ``flash_bytes``: from the first to the last byte to be programmed, padding included. ``ram_bytes``: static variables and
    arena, padding included, without the stack. ``code_bytes`` and ``constant_bytes``: instructions, and read-only data.
    """

    flash_bytes: int
    ram_bytes: int
    code_bytes: int
    constant_bytes: int


def forecast(linkage: Linkage, board: Board) -> Sizes:
    """The sizes that the image of a linkage will have: every section at the next place that its alignment allows.

    Raises:
        InternalError: a section that the linker template does not place.
    """
    rows = {name: _sections(linkage, patterns) for name, patterns in _OUTPUTS}
    kept = [section for file in range(len(linkage.files)) for _, section in linkage.sections(file) if section.name == KEPT]
    placed = sum(map(len, rows.values())) + len(kept)
    if placed != sum(len(linkage.sections(file)) for file in range(len(linkage.files))):
        raise InternalError("an object file has a section that the linker template does not name")
    text_end = _end(board.flash_origin, kept + rows[".text"])
    flash_end = text_end + _end(0, rows[".data"])  # ld gives the load address no alignment of its own
    ram = board.ram_origin
    for name in (".data", ".bss", ".arena"):
        ram = _end(_aligned(ram, max((section.align for section in rows[name]), default=1)), rows[name])
    return Sizes(
        flash_bytes=flash_end - board.flash_origin,
        ram_bytes=ram - board.ram_origin,
        code_bytes=sum(section.size for section in rows[".text"] if section.flags & EXECUTABLE),
        constant_bytes=sum(section.size for section in (*kept, *rows[".text"]) if not section.flags & EXECUTABLE),
    )


def _sections(linkage: Linkage, patterns: tuple[str, ...]) -> list[Section]:
    return [
        section
        for file in range(len(linkage.files))
        for _, section in linkage.sections(file)
        if any(section.name == pattern or section.name.startswith(f"{pattern}.") for pattern in patterns)
    ]


def _aligned(place: int, align: int) -> int:
    return -(-place // align) * align


def _end(place: int, sections: list[Section]) -> int:
    for section in sections:
        if section.size:
            place = _aligned(place, section.align) + section.size
    return _aligned(place, _END_ALIGN)


def measured(image: Elf, board: Board) -> tuple[int, int]:
    """Flash and RAM in bytes of a linked image, stack left out, from the places of its sections.

    The initial values of ``.data`` stand in flash behind all else, as ld has placed them.
    """
    parts = {section.name: section for section in image.sections if section.allocated and section.size}
    flash = max(
        section.address + section.size - board.flash_origin
        for section in parts.values()
        if section.kind != NOBITS and section.address < board.flash_origin + board.flash_bytes and section.name != ".data"
    )
    data = parts.get(".data")
    if data is not None:
        load = image.symbol("marram_data_load")
        flash = (load.value if load else board.flash_origin + flash) - board.flash_origin + data.size
    ram = max(
        (parts[name].address + parts[name].size for name in (".data", ".bss", ".arena") if name in parts),
        default=board.ram_origin,
    )
    return flash, ram - board.ram_origin
