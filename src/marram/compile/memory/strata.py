"""Offsets where a few long-lived blocks lie at the bottom and the others come and go in groups above them.

Groups that never live together do not see each other: each has the order that suits it best.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Protocol

_TRIES = 60


class Packing(Protocol):
    """What is asked of a packing: when its units live, and where they come to stand in a given order."""

    first: list[int]
    last: list[int]
    size: list[int]

    def orders(self) -> list[list[int]]:
        """All units, by each of the rules."""

    def dropped(self, order: Sequence[int], offsets: list[int] | None = None) -> list[int]:
        """Each in turn at the lowest free place; ``offsets`` of those that stand already, -1 for others."""


def stratified(packing: Packing, bottom: Sequence[int], least: int, *, search: bool) -> list[int]:
    """Offsets with a small top.

    Args:
        packing: units with sizes and lives.
        bottom: units at the bottom, in this order.
        least: nothing can be smaller.
        search: go on by chance where the rules do not reach it.
    """
    orders = packing.orders()
    free = [-1] * len(packing.size)
    groups = _groups(packing, set(bottom))

    def built(offsets: list[int], others: Sequence[list[int]]) -> list[int]:
        for group in others:
            offsets = _ruled(packing, orders, group, offsets)
        return offsets

    made = [built(packing.dropped(order, list(free)), groups) for order in (bottom, bottom[::-1])]
    for unit in bottom:  # or it lies where those with which it ends like it best
        mates = next((group for group in groups if any(_ends_with(packing, unit, other) for other in group)), [])
        low = _ruled(packing, orders, [*mates, unit], free)
        low = packing.dropped([other for other in bottom if other != unit], low)
        made.append(built(low, [group for group in groups if group is not mates]))
    if search:
        made = [_improved(packing, groups, offsets, least) for offsets in made]
    return min(made, key=lambda offsets: _top(packing, offsets, range(len(offsets))))


def _ends_with(packing: Packing, unit: int, other: int) -> bool:
    return packing.first[other] <= packing.last[unit] <= packing.last[other]


def _top(packing: Packing, offsets: list[int], units: Iterable[int]) -> int:
    return max((offsets[unit] + packing.size[unit] for unit in units), default=0)


def _groups(packing: Packing, bottom: set[int]) -> list[list[int]]:
    """The other units in groups that follow each other in time."""
    groups: list[list[int]] = []
    reach = -1
    for unit in sorted((unit for unit in range(len(packing.size)) if unit not in bottom), key=lambda unit: packing.first[unit]):
        if packing.first[unit] > reach:
            groups.append([])
        groups[-1].append(unit)
        reach = max(reach, packing.last[unit])
    return groups


def _ruled(packing: Packing, orders: list[list[int]], group: list[int], offsets: list[int]) -> list[int]:
    """A group placed by the rule that suits it best."""
    members = set(group)
    made = [packing.dropped([unit for unit in order if unit in members], list(offsets)) for order in orders]
    return min(made, key=lambda found: _top(packing, found, group))


def _improved(packing: Packing, groups: list[list[int]], offsets: list[int], least: int) -> list[int]:
    """The groups that reach highest placed in other orders, by chance, as long as that helps."""
    for _ in groups:
        high = max(groups, key=lambda group: _top(packing, offsets, group))
        before = _top(packing, offsets, high)
        if before <= least:
            break
        offsets = _shuffled(packing, high, offsets, least)
        if _top(packing, offsets, high) == before:
            break
    return offsets


def _shuffled(packing: Packing, group: list[int], offsets: list[int], least: int) -> list[int]:
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    best, order = offsets, sorted(group, key=lambda unit: offsets[unit])
    members = set(group)
    free = [-1 if unit in members else offset for unit, offset in enumerate(offsets)]
    for _ in range(_TRIES):
        trial = list(order)
        trial.insert(chance.randrange(len(trial)), trial.pop(chance.randrange(len(trial))))
        found = packing.dropped(trial, list(free))
        if _top(packing, found, group) <= _top(packing, best, group):
            best, order = found, trial
        if _top(packing, best, group) <= least:
            break
    return best
