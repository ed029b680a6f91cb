"""ELF files of 32-bit Arm, as far as sizes and calls need them: sections, symbols, relocations; and ar archives of such files.

Source: Tool Interface Standard, Executable and Linking Format 1.2; ELF for the Arm Architecture (IHI 0044).
"""

from __future__ import annotations

import struct

import msgspec

from marram.core.errors import UserError

ALLOCATED, EXECUTABLE, WRITABLE, MERGED = 0x2, 0x4, 0x1, 0x10
NOBITS = 8
CALL, JUMP, JUMP_SHORT = 10, 30, 51  # R_ARM_THM_CALL, R_ARM_THM_JUMP24, R_ARM_THM_JUMP19
ADDRESSES = frozenset({2, 3, 38, 47, 48})  # R_ARM_ABS32, REL32, TARGET1, THM_MOVW_ABS_NC, THM_MOVT_ABS
_SYMTAB, _REL = 2, 9
_LOAD = 1
_ARM = 40


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A section: its address in memory (0 in an object file), its size, its alignment, its flags, its offset in the file."""

    name: str
    kind: int
    flags: int
    address: int
    size: int
    align: int
    offset: int

    @property
    def allocated(self) -> bool:
        """Whether it takes memory on the device."""
        return bool(self.flags & ALLOCATED)


class Symbol(msgspec.Struct, frozen=True, kw_only=True):
    """A name. ``section`` is an index, 0 where it is not defined here. A function's address is without Thumb bit."""

    name: str
    value: int
    size: int
    section: int
    function: bool
    local: bool
    weak: bool


class Relocation(msgspec.Struct, frozen=True, kw_only=True):
    """A reference out of ``section`` at ``offset`` to symbol number ``symbol``, of a kind as in IHI 0044."""

    section: int
    offset: int
    symbol: int
    kind: int


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of an executable that are loaded: where they stand before that, and how many there are."""

    load_address: int
    size: int


class Elf(msgspec.Struct, frozen=True, kw_only=True):
    """One file: an object or an executable."""

    name: str
    data: bytes
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]
    segments: tuple[Segment, ...] = ()

    def contents(self, index: int) -> bytes:
        """The bytes of a section."""
        section = self.sections[index]
        return b"" if section.kind == NOBITS else self.data[section.offset : section.offset + section.size]

    def symbol(self, name: str) -> Symbol | None:
        """The defined symbol of that name, global before local, or None."""
        found = [one for one in self.symbols if one.name == name and one.section]
        return min(found, key=lambda one: one.local, default=None)

    def functions(self) -> tuple[Symbol, ...]:
        """The functions that are defined here, by address, one for each address and name."""
        return tuple(
            sorted((one for one in self.symbols if one.function and one.section), key=lambda one: (one.value, one.name))
        )


def read_elf(data: bytes, *, name: str) -> Elf:
    """What stands in an ELF file of 32-bit little-endian Arm.

    Raises:
        UserError: the bytes are no such file, or damaged.
    """
    if data[:6] != b"\x7fELF\x01\x01":
        raise UserError("is no little-endian 32-bit ELF file", where=name)
    try:
        return _read(data, name)
    except (struct.error, IndexError, ValueError) as error:
        raise UserError(f"is a damaged ELF file: {error}", where=name) from error


def _read(data: bytes, name: str) -> Elf:
    machine = struct.unpack_from("<H", data, 18)[0]
    if machine != _ARM:
        raise UserError(f"is an ELF file of machine {machine}, not of Arm", where=name)
    table_offset = struct.unpack_from("<I", data, 32)[0]
    entry_size, count, names_index = struct.unpack_from("<3H", data, 46)
    raw = [struct.unpack_from("<10I", data, table_offset + index * entry_size) for index in range(count)]
    names_offset = raw[names_index][4]
    sections, symbols, relocations = [], [], []
    for row in raw:
        offset, kind, flags, address, start, size, link, info, align, _ = row
        title = _text(data, names_offset + offset)
        sections.append(
            Section(name=title, kind=kind, flags=flags, address=address, size=size, align=max(align, 1), offset=start)
        )
        if kind == _SYMTAB:
            symbols = _symbols(data, start, size, raw[link][4])
        elif kind == _REL:
            relocations += [
                Relocation(section=info, offset=where, symbol=what >> 8, kind=what & 255)
                for where, what in struct.iter_unpack("<2I", _part(data, start, size))
            ]
    return Elf(
        name=name,
        data=data,
        sections=tuple(sections),
        symbols=tuple(symbols),
        relocations=tuple(relocations),
        segments=_segments(data),
    )


def _segments(data: bytes) -> tuple[Segment, ...]:
    offset = struct.unpack_from("<I", data, 28)[0]
    entry_size, count = struct.unpack_from("<2H", data, 42)
    rows = [struct.unpack_from("<8I", data, offset + index * entry_size) for index in range(count)]
    return tuple(Segment(load_address=row[3], size=row[4]) for row in rows if row[0] == _LOAD and row[4])


def _part(data: bytes, start: int, size: int) -> bytes:
    if start + size > len(data):
        raise ValueError("a table ends after the file")
    return data[start : start + size]


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode("latin-1")


def _symbols(data: bytes, start: int, size: int, names: int) -> list[Symbol]:
    found = []
    for name, value, length, info, _, section in struct.iter_unpack("<3I2BH", _part(data, start, size)):
        function = info & 15 == 2
        found.append(
            Symbol(
                name=_text(data, names + name),
                value=value & ~1 if function else value,
                size=length,
                section=section if section < 0xFF00 else 0,
                function=function,
                local=info >> 4 == 0,
                weak=info >> 4 == 2,
            )
        )
    return found


def read_archive(data: bytes, *, name: str) -> tuple[Elf, ...]:
    """The ELF members of an ar archive, in order.

    Raises:
        UserError: the bytes are no archive, or damaged.
    """
    if data[:8] != b"!<arch>\n":
        raise UserError("is no archive", where=name)
    members, position = [], 8
    while position + 60 <= len(data):
        header = data[position : position + 60]
        try:
            size = int(header[48:58])
        except ValueError as error:
            raise UserError("is a damaged archive", where=name) from error
        body = data[position + 60 : position + 60 + size]
        if body[:4] == b"\x7fELF":
            members.append(read_elf(body, name=f"{name}({header[:16].decode('latin-1').strip()})"))
        position += 60 + size + size % 2
    return tuple(members)
