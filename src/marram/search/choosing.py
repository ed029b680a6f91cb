"""Choosing: which of the parts that were estimated are finished for a device, from the cheapest plausible to the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from marram.core.recipe import Decision
from marram.search.front import pareto_front


class Assessed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of a supernet as the search sees it.

    Args:
        family: whose part it is.
        decisions: what cuts it out.
        error: its estimate on validation samples; None where budgets ruled it out before that.
        prices: by device what it will cost.
        excess: by device the budgets that it breaks, by how much of each.
        reason: why it was not estimated.
    """

    family: str
    decisions: tuple[Decision, ...]
    error: float | None
    prices: dict[str, dict[str, float]]
    excess: dict[str, dict[str, float]]
    reason: str | None = None


def front(assessed: Sequence[Assessed], device: str, cost: str) -> tuple[int, ...]:
    """The parts within a device's budget that none both cheaper and better leaves behind, the cheapest first.

    Args:
        assessed: what was estimated.
        device: the target's name.
        cost: the figure that is weighed against the error.
    """
    rows = [
        (one.prices[device][cost], one.error, index)
        for index, one in enumerate(assessed)
        if one.error is not None and device in one.prices and not one.excess[device]
    ]
    kept = pareto_front([(price, error) for price, error, _ in rows])
    return tuple(index for _, _, index in sorted(rows[place] for place in kept))


def finalists(
    assessed: Sequence[Assessed], device: str, cost: str, count: int, *, plausible_error: float = 1.0
) -> tuple[int, ...]:
    """At most ``count`` of a front to finish: its best, the cheapest that may become good enough, and others between.

    Steps are even in the logarithm of the cost, since a tenth of the cost matters as much for a small model as for a large.

    Args:
        assessed: what was estimated.
        device: the target's name.
        cost: the figure that is weighed against the error.
        count: at least 1.
        plausible_error: parts with a greater estimate are hopeless, unless nothing else is left.
    """
    found = front(assessed, device, cost)
    hopeful = [index for index in found if (assessed[index].error or 0.0) <= plausible_error] or list(found[-1:])
    if len(hopeful) <= count:
        return tuple(hopeful)
    costs = np.log([max(assessed[index].prices[device][cost], 1.0) for index in hopeful])
    chosen: list[int] = []
    for wanted in np.linspace(costs[-1], costs[0], count):
        left = [place for place in range(len(hopeful)) if place not in chosen]
        chosen.append(min(left, key=lambda place: (abs(costs[place] - wanted), place)))
    return tuple(hopeful[place] for place in sorted(chosen))


def union(chosen: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    """The parts that any device wants finished, each once, in the order of their numbers."""
    return tuple(sorted({index for indices in chosen.values() for index in indices}))
