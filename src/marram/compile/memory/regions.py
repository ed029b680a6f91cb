"""Several memories: which values stand in the fast one, and which constants are copied there out of flash.

Each memory has an arena of its own. Plans from the fastest to the smallest are tried, each filled in several ways; the one
that is estimated to take fewest cycles wins: its instructions, and what they wait for memory. A plan that keeps only a few
rows of some values can win by this though it takes more instructions, as more of it stands in the fast memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from marram.compile.memory.explanation import explained_memories
from marram.compile.memory.filling import Filled, Load, Region, fill, tightened
from marram.compile.memory.layout import Chain, calls_of, layout_of, slots_of
from marram.compile.memory.lifetimes import Lives, largest_live_set, lives_of
from marram.compile.memory.plan import Copy, Memory, MemoryPlan, Problem
from marram.compile.memory.planning import front_of
from marram.compile.memory.traffic import Weights, traffic_of
from marram.compile.memory.units import Units
from marram.core.errors import UserError

_MOST_TRIED = 16
"""Plans of the front that are filled into the memories: all of a short one, evenly picked from a long one."""


class _Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A chain in the memories, with the cycles that it is estimated to take."""

    chain: Chain
    load: Load
    filled: Filled
    cycles: float


def plan_in_regions(
    problem: Problem,
    regions: Sequence[Region],
    weights: Sequence[Weights] = (),
    *,
    flash_cost: float | None = None,
    macs: Mapping[str, int] | None = None,
) -> MemoryPlan:
    """The plan over several memories that is estimated to take fewest cycles.

    Args:
        problem: tasks and values.
        regions: memories that can be written, in any order.
        weights: constants by task, which may be copied where ``flash_cost`` is given.
        flash_cost: how many cycles a byte read from flash waits; None leaves all constants there.
        macs: multiply-accumulates by task, each of which reads a byte of an input.

    Raises:
        UserError: the values do not fit all regions together, however they are made.
    """
    lives = lives_of(problem)
    units = Units(problem, lives)
    front = front_of(problem, lives, units)
    tried: list[_Trial] = []
    for index in _picked(len(front)):
        chain = front[index].units
        layout = layout_of(problem, lives, chain)
        load = Load(
            layout=layout,
            traffic=traffic_of(problem, lives, chain, layout, macs or {}),
            weights=weights,
            flash_cost=flash_cost,
            align_bytes=problem.align_bytes,
        )
        tried += _filled(chain, load, regions)
    if not tried:
        granted = ", ".join(f"{region.name} ({region.size_bytes:,} bytes)" for region in regions)
        raise UserError(
            f"the smallest plan takes {front[-1].arena_bytes:,} bytes in one piece, and finds no room in {granted}",
            where="memories",
            hint="Grant more of a memory, or name another.",
        )
    best = min(tried, key=lambda trial: trial.cycles)
    return _plan(problem, lives, best, regions, fastest=front[0].units)


def _picked(count: int) -> list[int]:
    if count <= _MOST_TRIED:
        return list(range(count))
    return sorted({round(index * (count - 1) / (_MOST_TRIED - 1)) for index in range(_MOST_TRIED)})


def _filled(chain: Chain, load: Load, regions: Sequence[Region]) -> list[_Trial]:
    """The ways in which a chain finds room."""
    found = []
    for copies_late in (True,) if load.flash_cost is None else (False, True):
        filled = fill(load, regions, copies_late=copies_late)
        if filled is not None:
            cycles = _instructions(chain) + load.waits(filled, regions)
            found.append(_Trial(chain=chain, load=load, filled=filled, cycles=cycles))
    return found


def _instructions(chain: Chain) -> float:
    return sum(unit.instructions for unit in chain)


def _plan(problem: Problem, lives: Lives, best: _Trial, regions: Sequence[Region], *, fastest: Chain) -> MemoryPlan:
    weights = best.load.weights
    filled = tightened(best.load, best.filled)
    calls, rolled = calls_of(best.chain)
    least = _instructions(fastest)
    done = MemoryPlan(
        arena_bytes=sum(filled.tops),
        slots=slots_of(problem, best.chain, best.load.layout, filled.offsets, filled.blocks),
        calls=calls,
        lean=tuple(lean for unit in best.chain for lean in unit.lean),
        lower_bound_bytes=largest_live_set(problem, lives),
        rolled=rolled,
        extra_instructions=_instructions(best.chain) / least - 1.0 if least else 0.0,
        memories=tuple(
            Memory(name=region.name, size_bytes=region.size_bytes, byte_cost=region.byte_cost, arena_bytes=top)
            for region, top in zip(regions, filled.tops, strict=True)
        ),
        copies=tuple(
            Copy(task=each.task, memory=at, size_bytes=each.size_bytes, saved_cycles=best.load.saved(each, regions[at]))
            for each, at in zip(weights, filled.copies, strict=True)
            if at is not None
        ),
        wait_cycles=best.load.waits(filled, regions),
        slowest_wait_cycles=best.load.slowest(regions),
    )
    return settled(problem, done, {each.task: each.size_bytes for each in weights})


def settled(problem: Problem, plan: MemoryPlan, constants: dict[str, int]) -> MemoryPlan:
    """A plan whose copies have the bytes that their constants turned out to have; what finds no room then stays in flash.

    Args:
        problem: what the plan executes.
        plan: over several memories.
        constants: bytes by task.
    """
    room = [memory.size_bytes - memory.arena_bytes for memory in plan.memories]
    copies = []
    for copy in plan.copies:
        size = -(-constants[copy.task] // problem.align_bytes) * problem.align_bytes
        if size <= room[copy.memory]:
            room[copy.memory] -= size
            copies.append(msgspec.structs.replace(copy, size_bytes=size))
    memories = tuple(
        msgspec.structs.replace(memory, copied_bytes=memory.size_bytes - memory.arena_bytes - left)
        for memory, left in zip(plan.memories, room, strict=True)
    )
    lost = sum(copy.saved_cycles for copy in plan.copies) - sum(copy.saved_cycles for copy in copies)
    done = msgspec.structs.replace(plan, memories=memories, copies=tuple(copies), wait_cycles=plan.wait_cycles + max(lost, 0.0))
    return msgspec.structs.replace(done, explanation=explained_memories(problem, done))
