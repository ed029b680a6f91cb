"""Calls that repeat with other places, as a for statement: what text is shortest, and which places stand in a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, product

from marram.compile.c.text.addresses import Address
from marram.compile.c.text.repetition import Repetition

_CALL_BYTES = 14
"""What a call with its addresses takes on a Thumb core, about."""
_MOST_JOINED = 4
Column = tuple[Address, ...]
"""Where one argument of one call stands, turn by turn."""


def _columns(loop: Repetition, addresses: Sequence[tuple[Address, ...]]) -> list[list[Column]]:
    """For each call of a turn and each of its places the addresses turn by turn; ``addresses`` are those of all calls."""
    turns = addresses[loop.first : loop.past]
    return [list(zip(*turns[at :: loop.period], strict=True)) for at in range(loop.period)]


def _in_one_block(column: Column) -> bool:
    return len({block for block, _ in column}) == 1


def _even(column: Column) -> bool:
    """Whether the place stays in its block, and rises or falls by the same from turn to turn."""
    return _in_one_block(column) and len({after - before for (_, before), (_, after) in pairwise(column)}) <= 1


def shortest(loop: Repetition, addresses: Sequence[tuple[Address, ...]]) -> Repetition:
    """The part of a loop, with so many steps in one turn, whose text and table are smallest; what is left over are plain calls.

    Places are even but for the first and last steps, where other values live; they may alternate between steps.
    """
    best, least = loop, 10**9
    for joined, skipped, left in product(range(1, min(loop.turns // 2, _MOST_JOINED) + 1), range(4), range(4)):
        turns = (loop.turns - skipped - left) // joined
        if turns < 2:
            continue
        trial = Repetition(first=loop.first + skipped * loop.period, period=loop.period * joined, turns=turns)
        uneven = {column for each in _columns(trial, addresses) for column in each if not _even(column)}
        texts = trial.period + (loop.turns - turns * joined) * loop.period
        size = texts * _CALL_BYTES + len(uneven) * (2 * turns + 4)
        if size < least:
            best, least = trial, size
    return best


def loop_lines(
    loop: Repetition,
    addresses: Sequence[tuple[Address, ...]],
    blocks: Sequence[str],
    texts: Sequence[Callable[[Sequence[str]], str]],
) -> list[str]:
    """A for statement; places that change unevenly from turn to turn stand in a table, with their block where that changes.

    Args:
        loop: which calls.
        addresses: of all calls.
        blocks: the pointers in the function around it.
        texts: of each call of a turn, what gives its text with given places.
    """
    columns = _columns(loop, addresses)
    uneven = list(dict.fromkeys(column for each in columns for column in each if not _even(column)))
    lines = [f"    for (size_t turn = 0; turn < {loop.turns}u; turn++) {{"]
    if uneven:
        entries = [_entries(column, blocks) for column in uneven]
        entry = "uint16_t" if max(map(max, entries)) <= 0xFFFF else "uint32_t"
        rows = ",".join(f"{{{','.join(map(str, row))}}}" for row in zip(*entries, strict=True))
        lines.append(f"        static const {entry} places[{loop.turns}][{len(uneven)}] = {{{rows}}};")
    if not all(map(_in_one_block, uneven)):
        lines.append(f"        uint8_t *const blocks[{len(blocks)}] = {{{', '.join(blocks)}}};")

    def expression(column: Column) -> str:
        if column in uneven and not _in_one_block(column):
            place = f"places[turn][{uneven.index(column)}]"
            return f"blocks[{place} % {len(blocks)}u] + {place} / {len(blocks)}u"
        block, first = column[0]
        if column in uneven:
            return f"{block} + places[turn][{uneven.index(column)}]"
        step = column[1][1] - first
        return f"{block} + ({first}u {'+' if step > 0 else '-'} turn * {abs(step)}u)" if step else f"{block} + {first}"

    lines += [f"        {text([expression(column) for column in each])}" for text, each in zip(texts, columns, strict=True)]
    return [*lines, "    }"]


def _entries(column: Column, blocks: Sequence[str]) -> list[int]:
    """Offsets, or, where the block changes, offsets and blocks in one number."""
    if _in_one_block(column):
        return [offset for _, offset in column]
    return [offset * len(blocks) + blocks.index(block) for block, offset in column]
