"""A Problem in, a MemoryPlan out."""

from __future__ import annotations

import msgspec

from marram.compile.memory.explanation import explained
from marram.compile.memory.layout import Chain, Placed, placed, plan_of
from marram.compile.memory.lifetimes import Lives, largest_live_set, lives_of
from marram.compile.memory.plan import MemoryPlan, Problem
from marram.compile.memory.units import Units

_STEP = 0.98
"""From one point of the front to the next, memory shrinks at least by this factor: finer ones are not worth the search."""
NO_LIMIT = 1 << 62
_ATTEMPTS = 4
WORTH = 0.01
"""The share of instructions that a smaller arena may cost where nobody has set a limit."""


def plan_memory(problem: Problem, *, budget_bytes: int | None = None) -> MemoryPlan:
    """The cheapest plan in instructions whose arena fits the budget; the one with the least arena where none does.

    Args:
        problem: tasks and values.
        budget_bytes: what the arena may hold. None asks for the cheapest plan that is not larger than the largest set of
            values that live at once, scratch included (the fastest plan where there is none), and then for the smallest that
            is estimated to cost at most ``WORTH`` more instructions than that one.
    """
    lives = lives_of(problem)
    units = Units(problem, lives)
    plans = front_of(problem, lives, units)
    fastest = plans[0]
    if budget_bytes is None:
        chosen = _smaller_for_little(problem, lives, plans, _by_default(problem, lives, units, plans))
    else:
        chosen = _fitting(problem, lives, units, plans, budget_bytes)
    if chosen.units is fastest.units:
        fastest = chosen
    plans = _undominated([chosen, *plans])
    done = msgspec.structs.replace(
        plan_of(chosen, lower_bound_bytes=largest_live_set(problem, lives)),
        front=tuple((plan.arena_bytes, _extra(plan, fastest)) for plan in plans),
        extra_instructions=_extra(chosen, fastest),
    )
    return msgspec.structs.replace(done, explanation=explained(problem, done))


def _by_default(problem: Problem, lives: Lives, units: Units, plans: list[Placed]) -> Placed:
    fastest = placed(problem, lives, plans[0].units, search=True)
    natural = largest_live_set(problem, lives)
    if fastest.bytes <= natural:
        return fastest
    within = _fitting(problem, lives, units, plans, natural)
    return within if within.bytes <= natural else fastest


def _smaller_for_little(problem: Problem, lives: Lives, plans: list[Placed], chosen: Placed) -> Placed:
    """The smallest plan that costs hardly more instructions than the chosen one."""
    limit = chosen.instructions * (1 + WORTH)
    smallest = min((plan for plan in plans if plan.instructions <= limit), key=lambda plan: plan.bytes, default=chosen)
    if smallest.bytes >= chosen.bytes:
        return chosen
    again = placed(problem, lives, smallest.units, search=True)
    return again if again.bytes < chosen.bytes else chosen


def _extra(plan: Placed, fastest: Placed) -> float:
    return plan.instructions / fastest.instructions - 1.0 if fastest.instructions else 0.0


def front_of(problem: Problem, lives: Lives, units: Units, *, most: int = NO_LIMIT) -> list[Placed]:
    """Placed plans from the fastest to the smallest, each smaller than the one before.

    ``most`` leaves out those that need more bytes; there may be none then.
    """
    found: list[Placed] = []
    limit, failed = most, 0
    while True:
        chain = cheapest_chain(problem, units, limit)
        if chain is None and not found:
            return []
        if chain is None:
            failed = max(failed, limit)
            limit = (failed + found[-1].bytes) // 2
            if found[-1].bytes - failed <= max(failed // 128, 4):
                return _undominated(found)
            continue
        made = placed(problem, lives, chain, search=False)
        found.append(made)
        if not chain:
            return found
        equal = len(found) == 1 or made.instructions == found[-2].instructions
        limit = made.bytes - 1 if equal else min(made.bytes - 1, int(made.bytes * _STEP))
        if failed:
            limit = (failed + made.bytes) // 2
            if made.bytes - failed <= max(failed // 128, 4):
                return _undominated(found)


def _fitting(problem: Problem, lives: Lives, units: Units, plans: list[Placed], budget: int) -> Placed:
    """The cheapest plan that fits a budget, the smallest where none does.

    First those of the front, then one made for the budget, which may be cheaper than its neighbour on the front.
    """
    smallest = min(plans, key=lambda plan: plan.arena_bytes)
    fitting = [plan for plan in plans if plan.arena_bytes <= budget]
    limit = budget
    for _ in range(_ATTEMPTS):
        chain = cheapest_chain(problem, units, limit)
        if chain is None:
            break
        made = placed(problem, lives, chain, search=True)
        if made.arena_bytes <= budget:
            fitting.append(made)
            break
        smallest = min(smallest, made, key=lambda plan: plan.arena_bytes)
        limit = min(int(limit * 0.99), made.bytes - 1)  # placing took more than the bound had promised
    if fitting:
        return min(fitting, key=lambda plan: (plan.instructions, plan.arena_bytes))
    return _smaller(problem, lives, smallest)


def _smaller(problem: Problem, lives: Lives, plan: Placed) -> Placed:
    return min(plan, placed(problem, lives, plan.units, search=True), key=lambda each: each.arena_bytes)


def _undominated(plans: list[Placed]) -> list[Placed]:
    kept: list[Placed] = []
    for plan in sorted(plans, key=lambda each: (each.instructions, each.arena_bytes)):
        if not kept or plan.arena_bytes < kept[-1].arena_bytes:
            kept.append(plan)
    return kept


def cheapest_chain(problem: Problem, units: Units, limit: int) -> Chain | None:
    """The tasks as units of fewest instructions, none of which needs more than ``limit`` bytes: shortest path over cuts.

    Only segments with a task that does not fit alone in its fastest form are looked at, and of those that fit only such as
    have no task to spare at either end: rolling more would cost and gain nothing.
    """
    count = len(problem.tasks)
    alone = [units.cheapest(index, index + 1, limit) for index in range(count)]
    fastest = [units.cheapest(index, index + 1, NO_LIMIT) for index in range(count)]
    easy = [
        one is not None and best is not None and one.instructions <= best.instructions
        for one, best in zip(alone, fastest, strict=True)
    ]
    fitting: set[tuple[int, int]] = set()
    best: list[tuple[float, Chain] | None] = [(0.0, ()), *([None] * count)]
    for past in range(1, count + 1):
        options = []
        for first in range(past - 1, -1, -1):
            before = best[first]
            if first < past - 1:
                if units.broken(first):
                    break
                spare = ((first + 1, past) in fitting and easy[first]) or ((first, past - 1) in fitting and easy[past - 1])
                if spare:
                    fitting.add((first, past))
                if spare or before is None or all(easy[first:past]):
                    continue
            unit = alone[first] if first == past - 1 else units.cheapest(first, past, limit)
            if unit is not None and first < past - 1:
                fitting.add((first, past))
            if before is not None and unit is not None:
                options.append((before[0] + unit.instructions, (*before[1], unit)))
        best[past] = min(options, key=lambda each: each[0], default=None)
    found = best[count]
    return None if found is None else found[1]
