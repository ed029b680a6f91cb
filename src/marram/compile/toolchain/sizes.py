"""Flash and RAM of an image: forecast from object files before it is linked, and read from the linked file."""

from __future__ import annotations

import msgspec

from marram.compile.toolchain.boards import Board
from marram.compile.toolchain.elf import EXECUTABLE, Elf, Section
from marram.compile.toolchain.elsewhere import Elsewhere
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
    arenas, padding included, without the stack. ``code_bytes`` and ``constant_bytes``: instructions, and read-only data.
    ``elsewhere_bytes`` are those of ``ram_bytes`` that stand in memories beside main RAM, by name.
    """

    flash_bytes: int
    ram_bytes: int
    code_bytes: int
    constant_bytes: int
    elsewhere_bytes: dict[str, int] = {}

    @property
    def main_ram_bytes(self) -> int:
        """What stands in the board's main RAM."""
        return self.ram_bytes - sum(self.elsewhere_bytes.values())


def forecast(linkage: Linkage, board: Board, others: tuple[Elsewhere, ...] = ()) -> Sizes:
    """The sizes that the image of a linkage will have: every section at the next place that its alignment allows.

    Args:
        linkage: what is linked.
        board: where to.
        others: memories beside main RAM that the image uses.

    Raises:
        InternalError: a section that the linker template does not place.
    """
    rows = _rows(linkage, others)
    kept = [section for file in range(len(linkage.files)) for _, section in linkage.sections(file) if section.name == KEPT]
    placed = sum(map(len, rows.values())) + len(kept)
    if placed != sum(len(linkage.sections(file)) for file in range(len(linkage.files))):
        raise InternalError("an object file has a section that the linker template does not name")
    text_end = _end(board.flash_origin, kept + rows[".text"])
    filled = [".data", *(each.data for each in others)]
    flash_end = text_end + sum(_end(0, rows[name]) for name in filled)  # ld gives the load address no alignment of its own
    ram = _extent(board.ram_origin, [rows[name] for name in (".data", ".bss", ".arena")])
    elsewhere_bytes = {each.memory.name: _extent(each.memory.origin, [rows[each.data], rows[each.arena]]) for each in others}
    return Sizes(
        flash_bytes=flash_end - board.flash_origin,
        ram_bytes=ram + sum(elsewhere_bytes.values()),
        code_bytes=sum(section.size for section in rows[".text"] if section.flags & EXECUTABLE),
        constant_bytes=sum(section.size for section in (*kept, *rows[".text"]) if not section.flags & EXECUTABLE),
        elsewhere_bytes=elsewhere_bytes,
    )


def _rows(linkage: Linkage, others: tuple[Elsewhere, ...]) -> dict[str, list[Section]]:
    """The sections of all files by output section, in order; those of memories beside main RAM are taken first."""
    names = [name for each in others for name in (each.data, each.arena)] + [name for name, _ in _OUTPUTS]
    rows: dict[str, list[Section]] = {name: [] for name in names}
    for file in range(len(linkage.files)):
        for _, section in linkage.sections(file):
            output = _output(section, others)
            if output:
                rows[output].append(section)
    return rows


def _output(section: Section, others: tuple[Elsewhere, ...]) -> str:
    for each in others:
        if each.holds_data(section):
            return each.data
        if each.holds_arena(section):
            return each.arena
    for name, patterns in _OUTPUTS:
        if any(section.name == pattern or section.name.startswith(f"{pattern}.") for pattern in patterns):
            return name
    return ""


def _extent(origin: int, outputs: list[list[Section]]) -> int:
    """Bytes of output sections one behind the other."""
    place = origin
    for sections in outputs:
        place = _end(_aligned(place, max((section.align for section in sections), default=1)), sections)
    return place - origin


def _aligned(place: int, align: int) -> int:
    return -(-place // align) * align


def _end(place: int, sections: list[Section]) -> int:
    for section in sections:
        if section.size:
            place = _aligned(place, section.align) + section.size
    return _aligned(place, _END_ALIGN)


def measured(image: Elf, board: Board, others: tuple[Elsewhere, ...] = ()) -> tuple[int, int]:
    """Flash and RAM in bytes of a linked image, stack left out, from the places of its sections.

    Flash ends with the last byte that is loaded from there, initial values of what is in RAM included.
    """
    parts = {section.name: section for section in image.sections if section.allocated and section.size}
    ends = [segment.load_address + segment.size - board.flash_origin for segment in image.segments]
    flash = max((end for end in ends if 0 < end <= board.flash_bytes), default=0)
    memories: list[tuple[int, tuple[str, ...]]] = [(board.ram_origin, (".data", ".bss", ".arena"))]
    memories += [(each.memory.origin, (each.data, each.arena)) for each in others]
    return flash, sum(_top(parts, origin, names) - origin for origin, names in memories)


def _top(parts: dict[str, Section], origin: int, names: tuple[str, ...]) -> int:
    return max((parts[name].address + parts[name].size for name in names if name in parts), default=origin)
