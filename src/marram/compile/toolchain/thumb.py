"""The few Thumb instructions that move the stack pointer down, found in machine code.

Source: Armv7-M Architecture Reference Manual (DDI 0403), A5 to A7; Armv8-M (DDI 0553) has the same encodings.
"""

from __future__ import annotations

import struct

from marram.compile.toolchain.elf import Elf, Symbol


def pushed_bytes(elf: Elf, symbol: Symbol, *, whole_section: bool) -> tuple[int, bool]:
    """Bytes by which the instructions of a function lower the stack pointer, each counted once; whether it calls a pointer.

    Args:
        elf: the object file.
        symbol: the function.
        whole_section: count all of its section: assembly has several entries into one body.
    """
    start, end = symbol.value, symbol.value + symbol.size
    if whole_section:
        start, end = 0, elf.sections[symbol.section].size
    code = elf.contents(symbol.section)
    total, place, indirect = 0, start, False
    spans = data_spans(elf, symbol.section)
    while place + 2 <= min(end, len(code)):
        after = next((stop for begin, stop in spans if begin <= place < stop), None)
        if after is not None:
            place = after
            continue
        first = struct.unpack_from("<H", code, place)[0]
        wide = first >> 11 in {0b11101, 0b11110, 0b11111} and place + 4 <= len(code)
        second = struct.unpack_from("<H", code, place + 2)[0] if wide else 0
        indirect = indirect or (not wide and first & 0xFF87 == 0x4780)  # BLX Rm
        total += _wide(first, second) if wide else _narrow(first)
        place += 4 if wide else 2
    return total, indirect


def _narrow(code: int) -> int:
    if code & 0xFE00 == 0xB400:  # PUSH
        return 4 * (code & 0x1FF).bit_count()
    if code & 0xFF80 == 0xB080:  # SUB SP, SP, #imm7
        return 4 * (code & 0x7F)
    return 0


def _wide(first: int, second: int) -> int:
    if first == 0xE92D:  # PUSH.W, STMDB SP!
        return 4 * second.bit_count()
    if first == 0xF84D and second & 0x0F00 == 0x0D00:  # STR Rt, [SP, #-imm8]!
        return second & 0xFF
    if first == 0xE96D:  # STRD Rt, Rt2, [SP, #-imm8]!
        return 4 * (second & 0xFF)
    if first & 0xFFBF == 0xED2D and second & 0x0E00 == 0x0A00:  # VPUSH
        return 4 * (second & 0xFF)
    if first & 0xFBFF == 0xF2AD and second & 0x8F00 == 0x0D00:  # SUBW SP, SP, #imm12
        return (first >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | second & 0xFF
    if first & 0xFBEF == 0xF1AD and second & 0x8F00 == 0x0D00:  # SUB.W SP, SP, #const
        return _constant((first >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | second & 0xFF)
    return 0


def _constant(code: int) -> int:
    """A modified immediate of Thumb (ThumbExpandImm)."""
    value = code & 0xFF
    if code >> 10 == 0:
        return {0: value, 1: value << 16 | value, 2: value << 24 | value << 8, 3: value * 0x01010101}[code >> 8 & 3]
    turn, value = code >> 7, 0x80 | code & 0x7F
    return (value >> turn | value << 32 - turn) & 0xFFFFFFFF


def data_spans(elf: Elf, index: int) -> list[tuple[int, int]]:
    """Where a section has data between its code: from each mapping symbol ``$d`` to the next ``$t``."""
    base = elf.sections[index].address
    marks = sorted(
        (one.value - base, one.name[:2]) for one in elf.symbols if one.section == index and one.name[:2] in {"$d", "$t"}
    )
    ends = [place for place, _ in marks[1:]] + [elf.sections[index].size]
    return [(place, end) for (place, kind), end in zip(marks, ends, strict=True) if kind == "$d" and end > place]


def return_places(elf: Elf, symbol: Symbol) -> list[tuple[int, int]]:
    """For each BL in a function of a linked file: the address that it calls, and the address that it comes back to."""
    base = elf.sections[symbol.section].address
    code = elf.contents(symbol.section)
    spans = [(base + begin, base + end) for begin, end in data_spans(elf, symbol.section)]
    found, place = [], symbol.value
    while place < symbol.value + symbol.size:
        if any(begin <= place < end for begin, end in spans):
            place += 2
            continue
        first, second = struct.unpack_from("<HH", code.ljust(place - base + 4, b"\0"), place - base)
        wide = first >> 11 in {0b11101, 0b11110, 0b11111}
        if wide and first >> 11 == 0b11110 and second & 0xD000 == 0xD000:
            found.append((place + 4 + _branch_offset(first, second), place + 4))
        place += 4 if wide else 2
    return found


def _branch_offset(first: int, second: int) -> int:
    sign = first >> 10 & 1
    high, low = 1 - (second >> 13 & 1 ^ sign), 1 - (second >> 11 & 1 ^ sign)
    value = sign << 24 | high << 23 | low << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
    return value - (1 << 25) if sign else value
