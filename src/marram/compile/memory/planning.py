"""A Problem in, a MemoryPlan out."""

from __future__ import annotations

import msgspec

from marram.compile.memory.explanation import explained
from marram.compile.memory.lifetimes import Lives, largest_live_set, lives_of
from marram.compile.memory.placement import Block, place
from marram.compile.memory.plan import Call, MemoryPlan, Problem, Slot
from marram.compile.memory.units import Unit, Units

_STEP = 0.97
"""From one point of the front to the next, memory shrinks at least by this factor: finer ones are not worth the search."""
_NEVER = 1 << 62
_ATTEMPTS = 4


def plan_memory(problem: Problem, *, budget_bytes: int | None = None) -> MemoryPlan:
    """The cheapest plan in instructions whose arena fits the budget; the one with the least arena where none does.

    Args:
        problem: tasks and values.
        budget_bytes: what the arena may hold; None asks for the fastest plan, and among those for the least arena.
    """
    lives = lives_of(problem)
    units = Units(problem, lives)
    plans = _front(problem, lives, units)
    fastest = plans[0]
    if budget_bytes is None:
        chosen = _placed(problem, lives, fastest.units, search=True)
    else:
        chosen = _fitting(problem, lives, units, plans, budget_bytes)
    if chosen.units is fastest.units:
        fastest = chosen
    plans = _undominated([chosen, *plans])
    done = msgspec.structs.replace(
        _plan(chosen),
        front=tuple((plan.arena_bytes, _extra(plan, fastest)) for plan in plans),
        extra_instructions=_extra(chosen, fastest),
        lower_bound_bytes=largest_live_set(problem, lives),
    )
    return msgspec.structs.replace(done, explanation=explained(problem, done))


class _Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Units in order and where everything stands; ``slots`` are counted in calls."""

    units: tuple[Unit, ...]
    slots: tuple[Slot, ...]
    arena_bytes: int
    bytes: int
    instructions: float


def _extra(plan: _Placed, fastest: _Placed) -> float:
    return plan.instructions / fastest.instructions - 1.0 if fastest.instructions else 0.0


def _front(problem: Problem, lives: Lives, units: Units) -> list[_Placed]:
    """Placed plans from the fastest to the smallest, each smaller than the one before."""
    found: list[_Placed] = []
    limit, failed = _NEVER, 0
    while True:
        chain = _chain(problem, units, limit)
        if chain is None:
            failed = max(failed, limit)
            limit = (failed + found[-1].bytes) // 2
            if found[-1].bytes - failed <= max(failed // 128, 4):
                return _undominated(found)
            continue
        placed = _placed(problem, lives, chain, search=False)
        found.append(placed)
        if not chain:
            return found
        equal = len(found) == 1 or placed.instructions == found[-2].instructions
        limit = placed.bytes - 1 if equal else min(placed.bytes - 1, int(placed.bytes * _STEP))
        if failed:
            limit = (failed + placed.bytes) // 2
            if placed.bytes - failed <= max(failed // 128, 4):
                return _undominated(found)


def _fitting(problem: Problem, lives: Lives, units: Units, plans: list[_Placed], budget: int) -> _Placed:
    """The cheapest plan that fits a budget, the smallest where none does.

    First those of the front, then one made for the budget, which may be cheaper than its neighbour on the front.
    """
    smallest = min(plans, key=lambda plan: plan.arena_bytes)
    limit = budget
    for _ in range(_ATTEMPTS):
        chain = _chain(problem, units, limit)
        if chain is None:
            break
        made = _placed(problem, lives, chain, search=True)
        if made.arena_bytes <= budget:
            return made
        smallest = min(smallest, made, key=lambda plan: plan.arena_bytes)
        limit = min(int(limit * 0.99), made.bytes - 1)  # placing took more than the bound had promised
    fitting = [plan for plan in plans if plan.arena_bytes <= budget]
    return fitting[0] if fitting else _smaller(problem, lives, smallest)


def _smaller(problem: Problem, lives: Lives, plan: _Placed) -> _Placed:
    return min(plan, _placed(problem, lives, plan.units, search=True), key=lambda each: each.arena_bytes)


def _undominated(plans: list[_Placed]) -> list[_Placed]:
    kept: list[_Placed] = []
    for plan in sorted(plans, key=lambda each: (each.instructions, each.arena_bytes)):
        if not kept or plan.arena_bytes < kept[-1].arena_bytes:
            kept.append(plan)
    return kept


def _chain(problem: Problem, units: Units, limit: int) -> tuple[Unit, ...] | None:
    """The tasks as units of fewest instructions, none of which needs more than ``limit`` bytes: shortest path over cuts.

    Only segments with a task that does not fit alone are looked at: rolling others would cost and gain nothing.
    """
    count = len(problem.tasks)
    alone = [units.cheapest(index, index + 1, limit) for index in range(count)]
    best: list[tuple[float, tuple[Unit, ...]] | None] = [(0.0, ()), *([None] * count)]
    for past in range(1, count + 1):
        options = []
        tight = False
        for first in range(past - 1, -1, -1):
            before, single = best[first], alone[first]
            tight = tight or single is None
            if first < past - 1 and (not tight or units.broken(first)):
                if units.broken(first):
                    break
                continue
            unit = single if first == past - 1 else (units.cheapest(first, past, limit) if before is not None else None)
            if before is not None and unit is not None:
                options.append((before[0] + unit.instructions, (*before[1], unit)))
        best[past] = min(options, key=lambda each: each[0], default=None)
    return best[count][1] if best[count] is not None else None  # type: ignore[index]


def _placed(problem: Problem, lives: Lives, chain: tuple[Unit, ...], *, search: bool) -> _Placed:
    values = problem.values
    step_of = [step for step, unit in enumerate(chain) for _ in range(unit.first, unit.past)]
    starts = [0]
    for unit in chain:
        starts.append(starts[-1] + len(unit.calls))
    rings = {name: rows for unit in chain for name, rows in unit.rows.items() if rows < values[name].rows}
    blocks: list[Block] = []
    for name, first in lives.first.items():
        rows = rings.get(name, values[name].rows)
        begin, end = (step_of[first], step_of[lives.last[name]]) if step_of else (0, 0)
        blocks.append(Block(name=name, size=rows * values[name].row_bytes, first=begin, last=end))
    position = {block.name: index for index, block in enumerate(blocks)}
    relations = {(position[a], position[b]): least for unit in chain for (a, b), least in unit.relations.items()}
    tasks: list[tuple[int, int, int]] = []
    for step, unit in enumerate(chain):
        if max(unit.scratch):
            tasks += [(unit.first + index, size, len(blocks)) for index, size in enumerate(unit.scratch) if size]
            blocks.append(Block(name="", size=max(unit.scratch), first=step, last=step))
    placement = place(blocks, relations, align=problem.align_bytes, search=search)
    slots = [
        Slot(
            name=block.name,
            kind="ring" if block.name in rings else "value",
            offset_bytes=offset,
            size_bytes=block.size,
            rows=rings.get(block.name, values[block.name].rows),
            first=starts[block.first],
            last=max(starts[block.last + 1] - 1, 0) if chain else 0,
        )
        for block, offset in zip(blocks, placement.offsets, strict=True)
        if block.name
    ]
    slots += [
        Slot(
            name=problem.tasks[task].name,
            kind="scratch",
            offset_bytes=placement.offsets[index],
            size_bytes=size,
            rows=1,
            first=starts[blocks[index].first],
            last=starts[blocks[index].last + 1] - 1,
        )
        for task, size, index in tasks
    ]
    return _Placed(
        units=chain,
        slots=tuple(slots),
        arena_bytes=placement.size,
        bytes=max((unit.bytes for unit in chain), default=0),
        instructions=sum(unit.instructions for unit in chain),
    )


def _plan(placed: _Placed) -> MemoryPlan:
    calls: list[Call] = []
    rolled = []
    for unit in placed.units:
        if unit.past - unit.first > 1:
            rolled.append((len(calls), len(calls) + len(unit.calls)))
        calls += unit.calls
    return MemoryPlan(
        arena_bytes=placed.arena_bytes,
        slots=placed.slots,
        calls=tuple(calls),
        lean=tuple(lean for unit in placed.units for lean in unit.lean),
        lower_bound_bytes=0,
        rolled=tuple(rolled),
    )
