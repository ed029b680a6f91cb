"""Plans of a problem that are smaller than one of another problem that computes the same: a few, whatever is then asked for.

That the menu does not depend on a budget makes the choice from it stable: a plan chosen for a budget is also the one that is
chosen for exactly the bytes that it takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marram.compile.memory.explanation import explained
from marram.compile.memory.layout import Chain, Placed, placed, plan_of
from marram.compile.memory.lifetimes import Lives, largest_live_set, lives_of
from marram.compile.memory.plan import MemoryPlan, Problem
from marram.compile.memory.planning import NO_LIMIT, cheapest_chain
from marram.compile.memory.units import Units

_COURSES = 3


class Menu:
    """Plans of one problem of fewer than ``below`` bytes, made when they are asked for."""

    def __init__(self, problem: Problem, *, below: int) -> None:
        self.problem = problem
        self.below = below
        self._lives = lives_of(problem)
        self._units = Units(problem, self._lives)
        self._plans: tuple[Placed, ...] | None = None

    def may_fit(self, limit: int) -> bool:
        """Whether units can be found of which none needs more than a limit; their placement may."""
        return cheapest_chain(self.problem, self._units, limit) is not None

    @property
    def plans(self) -> tuple[Placed, ...]:
        """The plans, the cheapest first."""
        if self._plans is None:
            self._plans = tuple(sorted(self._made(), key=lambda plan: (plan.instructions, plan.arena_bytes)))
        return self._plans

    def _made(self) -> list[Placed]:
        floor = self._floor()
        found = []
        for step in range(_COURSES):
            chain = self._chain(floor + (self.below - 1 - floor) * step // _COURSES)
            if chain is not None:
                found.append(placed(self.problem, self._lives, chain, search=True))
        return [plan for plan in found if plan.arena_bytes < self.below]

    def _chain(self, limit: int) -> Chain | None:
        """The cheapest chain in which tasks of one kin are lean where one of them is."""
        units = self._units
        while True:
            chain = cheapest_chain(self.problem, units, limit)
            if chain is None:
                return None
            lean = [each for unit in chain for each in unit.lean]
            kin = [
                {task.kin for task, each in zip(self.problem.tasks, lean, strict=True) if each is kind}
                for kind in (False, True)
            ]
            mixed = (kin[0] & kin[1]) - {""} - units.lean
            if not mixed:
                return chain
            units = units.leaner(frozenset(mixed))

    def _floor(self) -> int:
        """Bytes that some units get by with, and hardly more than any do."""
        high, low = self.below - 1, 0
        while high - low > max(self.below // 64, 1):
            middle = (low + high) // 2
            if self.may_fit(middle):
                high = middle
            else:
                low = middle
        return high

    def plan(self, chosen: Placed, *, fastest: float, front: Sequence[tuple[int, float]]) -> MemoryPlan:
        """One of the plans in full.

        Args:
            chosen: of ``plans``.
            fastest: instructions of the fastest plan of the other problem.
            front: of that problem's plan; what is chosen comes after it.
        """
        extra = chosen.instructions / fastest - 1.0
        done = msgspec.structs.replace(
            plan_of(chosen, lower_bound_bytes=largest_live_set(self.problem, self._lives)),
            front=(*front, (chosen.arena_bytes, extra)),
            extra_instructions=extra,
        )
        return msgspec.structs.replace(done, explanation=explained(self.problem, done))


class Tails:
    """What the tasks from some task on need at least, by trial."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._lives: Lives = lives_of(problem)
        self._units = Units(problem, self._lives)

    def fastest(self) -> float:
        """Instructions of the fastest plan of all tasks."""
        count = len(self.problem.tasks)
        units = [self._units.cheapest(index, index + 1, NO_LIMIT) for index in range(count)]
        return sum(unit.instructions for unit in units if unit is not None)

    def bytes_from(self, most: int) -> list[int]:
        """For each task, and after the last, bytes in which it and those after it can be made, at most a tenth too many.

        ``most`` stands for all that need as much or more.
        """
        needs = [most] * (len(self.problem.tasks) + 1)
        for step in range(1, 10):
            limit = most * (10 - step) // 10
            for first, fits in enumerate(self._fitting(limit)):
                if fits:
                    needs[first] = limit
        return needs

    def _fitting(self, limit: int) -> list[bool]:
        count = len(self.problem.tasks)
        fits = [False] * count + [True]
        for first in range(count - 1, -1, -1):
            for past in range(first + 1, count + 1):
                if fits[past] and self._units.cheapest(first, past, limit) is not None:
                    fits[first] = True
                    break
                if self._units.broken(past - 1):
                    break
        return fits
