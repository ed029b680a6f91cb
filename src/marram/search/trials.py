"""The nouns of a study: what may be chosen, what is wanted, and what became of each choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Value = int | float | str
Values = Mapping[str, Value]
"""A value for each variable, by its name."""
Status = Literal["evaluated", "rejected", "failed"]


class Variable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A choice by its name: the values it may take, in order of size where they have one."""

    name: str
    choices: tuple[Value, ...]


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure that is to become small, or large."""

    name: str
    direction: Literal["minimise", "maximise"] = "minimise"


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an evaluation found.

    ``objectives`` in the order of the study's; ``violations`` by limit, as how far over it, above 0 where it is broken;
    ``figures`` are whatever else is worth keeping, by name.
    """

    objectives: tuple[float, ...]
    violations: dict[str, float] = {}
    figures: dict[str, float] = {}


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One choice of values and what became of it.

    ``rejected``: it broke a limit in the screening and was not evaluated; ``failed``: its evaluation died or gave no numbers.
    Both have no objectives and a ``reason``.
    """

    number: int
    generation: int
    values: dict[str, Value]
    status: Status
    objectives: tuple[float, ...] = ()
    violations: dict[str, float] = {}
    figures: dict[str, float] = {}
    reason: str | None = None

    @property
    def feasible(self) -> bool:
        """Whether it was evaluated and breaks no limit."""
        return self.status == "evaluated" and not any(over > 0 for over in self.violations.values())


class Study(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All trials in order, and the numbers of those feasible ones that no other one dominates."""

    objectives: tuple[Objective, ...]
    trials: tuple[Trial, ...]
    front: tuple[int, ...]

    @property
    def best(self) -> tuple[Trial, ...]:
        """The trials of the front, in order."""
        return tuple(self.trials[number] for number in self.front)
