"""Memories filled one after the other, the fastest first: blocks that are read and written, and copies of constants.

What saves most waiting for its bytes goes in as long as the memory holds it. Blocks must stand somewhere, copies need not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from marram.compile.memory.layout import Layout
from marram.compile.memory.placement import Placement, bound_together, place
from marram.compile.memory.traffic import Weights


class Region(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A memory: ``size_bytes`` for an arena and copies, and how many cycles a byte read or written there waits."""

    name: str
    size_bytes: int
    byte_cost: float


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be put somewhere: blocks with the bytes moved of each, constants, and what a byte of flash costs.

    ``flash_cost`` None: constants stay in flash, and their traffic is not counted.
    """

    layout: Layout
    traffic: Sequence[int]
    weights: Sequence[Weights]
    flash_cost: float | None
    align_bytes: int

    def saved(self, weights: Weights, region: Region) -> float:
        """Cycles that a copy of constants saves a run."""
        return 0.0 if self.flash_cost is None else weights.reads * (self.flash_cost - region.byte_cost)

    def waits(self, filled: Filled, regions: Sequence[Region]) -> float:
        """Cycles that a run waits."""
        cost = sum(moved * regions[at].byte_cost for moved, at in zip(self.traffic, filled.blocks, strict=True))
        if self.flash_cost is not None:
            for each, at in zip(self.weights, filled.copies, strict=True):
                cost += each.reads * (self.flash_cost if at is None else regions[at].byte_cost)
        return cost

    def slowest(self, regions: Sequence[Region]) -> float:
        """Cycles that a run would wait with all blocks in the slowest region and no copies."""
        flash = 0.0 if self.flash_cost is None else sum(each.reads for each in self.weights) * self.flash_cost
        return sum(self.traffic) * max(region.byte_cost for region in regions) + flash


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything stands: the region of each block and its offset, the region of each copy, the top of each arena."""

    blocks: tuple[int, ...]
    offsets: tuple[int, ...]
    copies: tuple[int | None, ...]
    tops: tuple[int, ...]


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    """A block or a copy that wants into a region, and the cycles that it saves there for each of its bytes."""

    index: int
    copy: bool
    size: int
    gain: float


def fill(load: Load, regions: Sequence[Region], *, copies_late: bool) -> Filled | None:
    """One way to fill the regions; None where blocks are left over.

    Args:
        load: what is to stand somewhere.
        regions: the memories.
        copies_late: copies take only what blocks have left over; else the better use of each byte decides.
    """
    blocks = [-1] * len(load.layout.blocks)
    offsets = [0] * len(blocks)
    copies: list[int | None] = [None] * len(load.weights)
    tops = [0] * len(regions)
    order = sorted(range(len(regions)), key=lambda index: regions[index].byte_cost)
    for at, slower in zip(order, [*order[1:], None], strict=True):
        next_cost = math.inf if slower is None else regions[slower].byte_cost
        items = [item for item in _block_items(load, regions[at], next_cost) if blocks[item.index] < 0]
        items += [item for item in _copy_items(load, regions[at]) if copies[item.index] is None]
        items.sort(key=lambda item: (copies_late and item.copy, -item.gain))
        inside = _inside(load, items, regions[at])
        standing = [item.index for item in inside if not item.copy]
        placement = _placed(load, standing, search=False)
        tops[at] = placement.size
        for index, offset in zip(standing, placement.offsets, strict=True):
            blocks[index], offsets[index] = at, offset
        for item in inside:
            if item.copy:
                copies[item.index] = at
    if -1 in blocks:
        return None
    return Filled(blocks=tuple(blocks), offsets=tuple(offsets), copies=tuple(copies), tops=tuple(tops))


def tightened(load: Load, filled: Filled) -> Filled:
    """The same with the blocks of each region placed as tightly as can be found."""
    offsets, tops = [0] * len(filled.blocks), []
    for at in range(len(filled.tops)):
        standing = [index for index, home in enumerate(filled.blocks) if home == at]
        placement = _placed(load, standing, search=True)
        tops.append(placement.size)
        for index, offset in zip(standing, placement.offsets, strict=True):
            offsets[index] = offset
    better = all(new <= old for new, old in zip(tops, filled.tops, strict=True))
    return msgspec.structs.replace(filled, offsets=tuple(offsets), tops=tuple(tops)) if better else filled


def _block_items(load: Load, region: Region, next_cost: float) -> list[_Item]:
    """Blocks; in the last region none of them can be spared."""
    found = []
    for index, (block, moved) in enumerate(zip(load.layout.blocks, load.traffic, strict=True)):
        gain = math.inf if next_cost == math.inf else moved * (next_cost - region.byte_cost) / max(block.size, 1)
        found.append(_Item(index=index, copy=False, size=block.size, gain=gain))
    return found


def _copy_items(load: Load, region: Region) -> list[_Item]:
    """Constants that are read faster here than in flash."""
    return [
        _Item(index=index, copy=True, size=each.size_bytes, gain=load.saved(each, region) / each.size_bytes)
        for index, each in enumerate(load.weights)
        if each.size_bytes and load.saved(each, region) > 0
    ]


def _inside(load: Load, items: Sequence[_Item], region: Region) -> list[_Item]:
    """As many items as the region holds, the first of them first; tried by the handful, as placing takes long."""
    wanted = _hopeful(load, items, region)
    inside: list[_Item] = []
    at, step = 0, len(wanted)
    while at < len(wanted):
        handful = wanted[at : at + step]
        if _fits(load, [*inside, *handful], region):
            inside += handful
            at += len(handful)
            step *= 2
        elif len(handful) == 1:
            at += 1
        else:
            step = len(handful) // 2
    return inside


def _hopeful(load: Load, items: Sequence[_Item], region: Region) -> list[_Item]:
    """Items that fit by the bound of every step, one added to the other: few of them are left over when they are placed."""
    layout = load.layout
    near: dict[int, list[tuple[int, int]]] = {}
    for pair in layout.relations:
        for index in pair:
            near.setdefault(index, []).append(pair)
    alive: dict[int, list[int]] = {}
    kept: list[_Item] = []
    copied, highest = 0, 0
    for item in items:
        if item.copy:
            size = _up(item.size, load.align_bytes)
            if highest + copied + size <= region.size_bytes:
                copied += size
                kept.append(item)
            continue
        block = layout.blocks[item.index]
        top = 0
        for step in range(block.first, block.last + 1):
            members = [*alive.get(step, ()), item.index]
            related = {
                pair: layout.relations[pair]
                for member in members
                for pair in near.get(member, ())
                if pair[0] in members and pair[1] in members
            }
            top = max(top, bound_together(layout.blocks, related, members))
            if top + copied > region.size_bytes:
                break
        else:
            highest = max(highest, top)
            kept.append(item)
            for step in range(block.first, block.last + 1):
                alive.setdefault(step, []).append(item.index)
    return kept


def _fits(load: Load, items: Sequence[_Item], region: Region) -> bool:
    copied = sum(_up(item.size, load.align_bytes) for item in items if item.copy)
    if copied > region.size_bytes:
        return False
    return _placed(load, [item.index for item in items if not item.copy], search=False).size + copied <= region.size_bytes


def _placed(load: Load, blocks: Sequence[int], *, search: bool) -> Placement:
    """Blocks of one region side by side and, where they may, over each other. The arena is a multiple of its alignment."""
    position = {block: at for at, block in enumerate(blocks)}
    relations = {
        (position[a], position[b]): least for (a, b), least in load.layout.relations.items() if a in position and b in position
    }
    found = place([load.layout.blocks[each] for each in blocks], relations, align=load.align_bytes, search=search)
    return msgspec.structs.replace(found, size=_up(found.size, load.align_bytes))


def _up(size: int, align: int) -> int:
    return -(-size // align) * align
