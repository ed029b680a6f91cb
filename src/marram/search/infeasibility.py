"""Infeasibility: when no model can meet a budget, which one binds, by how much, and why that is certain.

Two kinds of answer, told apart:

- *proven*: a bound that holds for every part of the space and every recipe already exceeds the budget. Bounds are only
  those that follow from sizes: an input must stand in memory while it is read, constants in flash, products need instructions.
- *not found*: nothing that was tried meets it; ``nearest`` is the closest that was found, and no proof is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from marram.core.contract import TargetSection
from marram.search.choosing import Assessed


class Infeasible(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a target's budget or promise cannot be met, or was not.

    Args:
        target: whose.
        kind: ``proven`` by ``bound``, or ``not found``.
        binding: the keys of the contract that bind, the one that is exceeded most first.
        budget: what the first of them allows, in its unit.
        bound: what no model of the space can go below; None where there is no proof.
        nearest: the closest that was found: by key what it would take, in the keys' units.
        why: one sentence for a reader.
    """

    target: str
    kind: Literal["proven", "not found"]
    binding: tuple[str, ...]
    budget: float
    bound: float | None
    nearest: dict[str, float]
    why: str


def nearest(assessed: Sequence[Assessed], device: str) -> Assessed | None:
    """The part that breaks a device's budgets least, by the largest of its excesses; None where nothing was assessed."""
    rows = [
        (max(one.excess[device].values(), default=0.0), index) for index, one in enumerate(assessed) if device in one.excess
    ]
    return assessed[min(rows)[1]] if rows else None


def not_found(assessed: Sequence[Assessed], target: str, section: TargetSection) -> Infeasible | None:
    """The answer where every part breaks a budget of a target; None where one of them breaks none."""
    closest = nearest(assessed, target)
    if closest is None or not closest.excess[target]:
        return None
    over = sorted(closest.excess[target].items(), key=lambda item: (-item[1], item[0]))
    needed = {key: float(getattr(section, key)) * (1 + share) for key, share in over}
    key, share = over[0]
    return Infeasible(
        target=target,
        kind="not found",
        binding=tuple(key for key, _ in over),
        budget=float(getattr(section, key)),
        bound=None,
        nearest=needed,
        why=f"of {len(assessed)} models that were priced the nearest exceeds {key} by {100 * share:.1f} %",
    )
