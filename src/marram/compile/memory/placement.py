"""Where blocks stand: offsets for stretches of memory that live over steps, some of which may overlap.

Fast rules give a first answer; where it is above the bound, a search over orders, complete for small problems, goes on.
An order decides everything: each block is pushed down upon those before it, and every tight placement has such an order.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from marram.compile.memory.overlap import EQUAL
from marram.compile.memory.strata import stratified

_NODES = 6000
_TRIES = 60
_MOST_COMPLETE = 200


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of ``size`` bytes that is needed from step ``first`` to step ``last``."""

    name: str
    size: int
    first: int
    last: int


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets by block, the bytes needed, and whether nothing less is possible."""

    offsets: tuple[int, ...]
    size: int
    least: bool


Relations = dict[tuple[int, int], int]
"""(above, below) -> distance: the two may overlap where offset(above) - offset(below) is at least that, or ``EQUAL``.

What is above ends at the step where what is below begins; at one step no block is above one and below another.
"""


def bound(blocks: Sequence[Block], relations: Relations) -> int:
    """Bytes that the blocks of some step need at least, overlaps taken into account."""
    return max((bound_together(blocks, near, alive) for alive, near in _meetings(blocks, relations)), default=0)


def bound_together(blocks: Sequence[Block], relations: Relations, alive: Sequence[int]) -> int:
    """The same of blocks that live together, with the relations between them."""
    linked = {index for pair in relations for index in pair}
    total = sum(blocks[index].size for index in alive if index not in linked)
    while linked:
        group = _linked(linked, relations)
        linked -= group
        total += _group_bound(blocks, relations, group)
    return total


def _linked(among: set[int], relations: Relations) -> set[int]:
    group = {next(iter(among))}
    while True:
        more = {b for a, b in relations if a in group} | {a for a, b in relations if b in group}
        if more <= group:
            return group
        group |= more


def _group_bound(blocks: Sequence[Block], relations: Relations, group: set[int]) -> int:
    above = {a for a, _ in relations if a in group}
    spans = [sum(blocks[index].size for index in above), sum(blocks[index].size for index in group - above)]
    for (a, b), distance in relations.items():
        if a in group:
            spans.append(max(blocks[b].size, blocks[a].size + min(max(distance, 0), blocks[b].size)))
    return max(spans)


def _meetings(blocks: Sequence[Block], relations: Relations) -> Iterator[tuple[list[int], Relations]]:
    """For each step at which a block begins, as one of them is the dearest: what lives then, and how it may overlap."""
    steps = sorted({block.first for block in blocks})
    alive: list[list[int]] = [[] for _ in steps]
    overlapping: list[Relations] = [{} for _ in steps]
    for index, block in enumerate(blocks):
        for step in range(bisect_left(steps, block.first), bisect_right(steps, block.last)):
            alive[step].append(index)
    for (a, b), distance in relations.items():
        for step in range(
            bisect_left(steps, max(blocks[a].first, blocks[b].first)), bisect_right(steps, min(blocks[a].last, blocks[b].last))
        ):
            overlapping[step][a, b] = distance
    return zip(alive, overlapping, strict=True)


def place(
    blocks: Sequence[Block], relations: Relations, *, align: int, search: bool = True, lowest: Sequence[int] = ()
) -> Placement:
    """Offsets, multiples of ``align``, with a small top.

    Args:
        blocks: what is to be placed.
        relations: permitted overlaps.
        align: for every offset.
        search: go on after the fast rules where these do not reach the bound.
        lowest: blocks that shall lie at the bottom, in this order, as they outlive many others.
    """
    least = bound(blocks, relations)
    best: Placement | None = None
    in_place = [pair for pair, distance in relations.items() if distance == EQUAL]
    for merged in (True, False) if in_place else (False,):
        packing = _Packing(blocks, relations, in_place if merged else [], align)
        offsets = packing.solved(least, search=search, lowest=lowest)
        size = max((offset + block.size for offset, block in zip(offsets, blocks, strict=True)), default=0)
        if best is None or size < best.size:
            best = Placement(offsets=tuple(offsets), size=size, least=size <= least or (packing.complete and not in_place))
        if best.size <= least:
            break
    assert best is not None
    return best


def _joined(count: int, pairs: Sequence[tuple[int, int]]) -> tuple[list[int], list[list[int]]]:
    """For each of ``count`` blocks the unit that it belongs to when both of each pair are in one, and the units' blocks."""
    members = {index: [index] for index in range(count)}
    unit = list(range(count))
    for a, b in pairs:
        if unit[a] != unit[b]:
            moved = members.pop(unit[b])
            for index in moved:
                unit[index] = unit[a]
            members[unit[a]] += moved
    position = {name: index for index, name in enumerate(sorted(members))}
    return [position[name] for name in unit], [members[name] for name in sorted(members)]


class _Packing:
    """Blocks that stand in place of others are joined to one; then offsets by rules and by search."""

    def __init__(self, blocks: Sequence[Block], relations: Relations, joined: list[tuple[int, int]], align: int) -> None:
        self.align = align
        self.complete = False
        self.unit, self.members = _joined(len(blocks), joined)
        count = len(self.members)
        self.size = [0] * count
        self.first = [10**9] * count
        self.last = [-1] * count
        for index, block in enumerate(blocks):
            unit = self.unit[index]
            self.size[unit] = max(self.size[unit], block.size)
            self.first[unit] = min(self.first[unit], block.first)
            self.last[unit] = max(self.last[unit], block.last)
        self.rise = self._rises(blocks, relations)
        self.near = self._neighbours()

    def _neighbours(self) -> list[list[int]]:
        """For each unit those that live together with it."""
        near: list[list[int]] = [[] for _ in self.first]
        alive: list[int] = []
        for index in sorted(range(len(self.first)), key=self.first.__getitem__):
            alive = [other for other in alive if self.last[other] >= self.first[index]]
            for other in alive:
                near[index].append(other)
                near[other].append(index)
            alive.append(index)
        return near

    def _rises(self, blocks: Sequence[Block], relations: Relations) -> dict[tuple[int, int], int]:
        """(upper, lower) -> how far above the lower one's offset the upper one must stand, where less than its size."""
        found: dict[tuple[int, int], int] = {}
        for (a, b), distance in relations.items():
            upper, lower = self.unit[a], self.unit[b]
            if distance >= 0 and upper != lower and self._only(blocks, a, b):
                found[upper, lower] = self._aligned(distance)
        return found

    def _only(self, blocks: Sequence[Block], a: int, b: int) -> bool:
        """Whether no other blocks of the two units live together than these two."""
        return not any(
            blocks[i].first <= blocks[j].last and blocks[j].first <= blocks[i].last and (i, j) != (a, b)
            for i in self.members[self.unit[a]]
            for j in self.members[self.unit[b]]
        )

    def solved(self, least: int, *, search: bool, lowest: Sequence[int]) -> list[int]:
        if lowest:
            bottom = list(dict.fromkeys(self.unit[index] for index in lowest))
            offsets = stratified(self, bottom, least, search=search)
            return [offsets[unit] for unit in self.unit]
        orders = self.orders()
        best: list[int] = []
        top = 10**15
        for order in orders:
            found = self.dropped(order)
            if self._top(found) < top:
                best, top = found, self._top(found)
        if search and top > least:
            best, top = self._shuffled(orders[0], best, top, least)
        if search and top > least:
            best = self._complete(best, top, least)
        return [best[unit] for unit in self.unit]

    def _top(self, offsets: list[int]) -> int:
        return max((offset + size for offset, size in zip(offsets, self.size, strict=True)), default=0)

    def orders(self) -> list[list[int]]:
        """All units, by each of the rules."""
        count = range(len(self.size))
        span = [last - first + 1 for first, last in zip(self.first, self.last, strict=True)]
        load = [self.size[index] + sum(self.size[other] for other in self.near[index]) for index in count]
        keys = (
            lambda index: (-self.size[index], self.first[index]),
            lambda index: (-self.size[index] * span[index], self.first[index]),
            lambda index: (-load[index], -self.size[index]),
            lambda index: (-span[index], -self.size[index]),
            lambda index: (self.first[index], -self.size[index]),
            lambda index: (-self.last[index], -self.size[index]),
        )
        return [sorted(count, key=key) for key in keys]

    def dropped(self, order: Sequence[int], offsets: list[int] | None = None) -> list[int]:
        """Each block in turn at the lowest place free for it; ``offsets`` of those that stand already, -1 for others."""
        offsets = [-1] * len(self.size) if offsets is None else offsets
        for index in order:
            walls = []
            for other in self.near[index]:
                at = offsets[other]
                if at >= 0:
                    low = at - self.size[index]
                    if (other, index) in self.rise:
                        low = max(low, at - self.rise[other, index])
                    high = at + min(self.rise.get((index, other), self.size[other]), self.size[other])
                    walls.append((low, high))
            offset = 0
            for low, high in sorted(walls):
                if low < offset < high or (offset == 0 and low < 0 < high):
                    offset = self._aligned(high)
            offsets[index] = offset
        return offsets

    def _shuffled(self, order: list[int], best: list[int], top: int, least: int) -> tuple[list[int], int]:
        """Blocks at the top of the pile are placed earlier, at random, as long as that helps."""
        chance = random.Random(7)  # noqa: S311 - repeatable, not secret
        current = list(order)
        for _ in range(_TRIES):
            high = [index for index in range(len(self.size)) if best[index] + self.size[index] == top]
            trial = list(current)
            moved = chance.choice(high) if chance.random() < 0.7 else chance.choice(trial)
            trial.remove(moved)
            trial.insert(chance.randrange(len(trial) + 1), moved)
            found = self.dropped(trial)
            if self._top(found) <= top:
                best, top, current = found, self._top(found), trial
            if top <= least:
                break
        return best, top

    def _complete(self, best: list[int], top: int, least: int) -> list[int]:
        """Branch and bound over orders by rising offset; gives up after a number of nodes."""
        count = len(self.size)
        offsets = [-1] * count
        nodes = 0

        def go(placed: int, level: int, floor: list[int]) -> bool:
            """Places one more block at ``level`` or above; True ends the search."""
            nonlocal best, top, nodes
            if placed == count:
                best, top = list(offsets), self._top(offsets)
                return top <= least
            for index in sorted(range(count), key=lambda each: (floor[each], -self.size[each])):
                at = floor[index]
                if offsets[index] >= 0 or at < level:
                    continue
                nodes += 1
                if nodes > _NODES:
                    return True
                raised = list(floor)
                for other in self.near[index]:
                    rise = min(self.rise.get((other, index), self.size[index]), self.size[index])
                    raised[other] = max(raised[other], self._aligned(at + rise))
                offsets[index] = at
                fits = all(offsets[each] >= 0 or max(raised[each], at) + self.size[each] < top for each in range(count))
                if fits and at + self.size[index] < top and go(placed + 1, at, raised):
                    return True
                offsets[index] = -1
            return False

        if count <= _MOST_COMPLETE:
            go(0, 0, [0] * count)
            self.complete = nodes <= _NODES
        return best

    def _aligned(self, offset: int) -> int:
        return -(-offset // self.align) * self.align
