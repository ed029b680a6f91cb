"""A chain of units laid out: blocks for values, rings and scratch, their offsets, the plan's slots and calls."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marram.compile.memory.lifetimes import Lives
from marram.compile.memory.placement import Block, Relations, place
from marram.compile.memory.plan import Call, MemoryPlan, Problem, Slot
from marram.compile.memory.units import Unit

Chain = tuple[Unit, ...]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What a chain needs: a block for every value and ring by name, and one without a name for the scratch of each unit.

    Blocks live over steps, one for each unit. ``scratch`` has (task, bytes, block) of each task with scratch.
    """

    blocks: tuple[Block, ...]
    relations: Relations
    rings: dict[str, int]
    scratch: tuple[tuple[int, int, int], ...]


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A chain with offsets for all; ``slots`` are counted in calls. ``bytes`` is what its dearest unit needs at least."""

    units: Chain
    slots: tuple[Slot, ...]
    arena_bytes: int
    bytes: int
    instructions: float


def layout_of(problem: Problem, lives: Lives, chain: Chain) -> Layout:
    """The blocks of a chain and what may overlap."""
    values = problem.values
    step_of = [step for step, unit in enumerate(chain) for _ in range(unit.first, unit.past)]
    rings = {name: rows for unit in chain for name, rows in unit.rows.items() if rows < values[name].rows}
    blocks: list[Block] = []
    for name, first in lives.first.items():
        rows = rings.get(name, values[name].rows)
        begin, end = (step_of[first], step_of[lives.last[name]]) if step_of else (0, 0)
        blocks.append(Block(name=name, size=rows * values[name].row_bytes, first=begin, last=end))
    position = {block.name: index for index, block in enumerate(blocks)}
    scratch: list[tuple[int, int, int]] = []
    for step, unit in enumerate(chain):
        if max(unit.scratch):
            scratch += [(unit.first + index, size, len(blocks)) for index, size in enumerate(unit.scratch) if size]
            blocks.append(Block(name="", size=max(unit.scratch), first=step, last=step))
    return Layout(
        blocks=tuple(blocks),
        relations={(position[a], position[b]): least for unit in chain for (a, b), least in unit.relations.items()},
        rings=rings,
        scratch=tuple(scratch),
    )


def slots_of(
    problem: Problem, chain: Chain, layout: Layout, offsets: Sequence[int], memories: Sequence[int] = ()
) -> tuple[Slot, ...]:
    """The blocks as slots, from call to call; ``memories`` by block where there are several."""
    starts = [0]
    for unit in chain:
        starts.append(starts[-1] + len(unit.calls))

    def slot(index: int, name: str, size: int, rows: int) -> Slot:
        block = layout.blocks[index]
        kind = "scratch" if not block.name else "ring" if name in layout.rings else "value"
        last = max(starts[block.last + 1] - 1, 0) if chain else 0
        return Slot(
            name=name,
            kind=kind,  # type: ignore[arg-type]
            offset_bytes=offsets[index],
            size_bytes=size,
            rows=rows,
            first=starts[block.first],
            last=last,
            memory=memories[index] if memories else 0,
        )

    named = [
        slot(index, block.name, block.size, layout.rings.get(block.name, problem.values[block.name].rows))
        for index, block in enumerate(layout.blocks)
        if block.name
    ]
    return (*named, *(slot(index, problem.tasks[task].name, size, 1) for task, size, index in layout.scratch))


def placed(problem: Problem, lives: Lives, chain: Chain, *, search: bool) -> Placed:
    """A chain in one arena.

    Args:
        problem: what the chain executes.
        lives: lifetimes of its values.
        chain: units in order.
        search: look for a tighter placement where the fast rules do not reach the bound.
    """
    layout = layout_of(problem, lives, chain)
    long = [*sorted(lives.parted), *problem.inputs] if lives.parted else []
    lowest = [index for name in long for index, block in enumerate(layout.blocks) if block.name == name]
    placement = place(layout.blocks, layout.relations, align=problem.align_bytes, search=search, lowest=lowest)
    return Placed(
        units=chain,
        slots=slots_of(problem, chain, layout, placement.offsets),
        arena_bytes=placement.size,
        bytes=max((unit.bytes for unit in chain), default=0),
        instructions=sum(unit.instructions for unit in chain),
    )


def plan_of(done: Placed, *, lower_bound_bytes: int) -> MemoryPlan:
    """A placed chain as a plan, without what only a comparison with others tells."""
    calls, rolled = calls_of(done.units)
    return MemoryPlan(
        arena_bytes=done.arena_bytes,
        slots=done.slots,
        calls=calls,
        lean=tuple(lean for unit in done.units for lean in unit.lean),
        lower_bound_bytes=lower_bound_bytes,
        rolled=rolled,
    )


def calls_of(chain: Chain) -> tuple[tuple[Call, ...], tuple[tuple[int, int], ...]]:
    """The calls of a chain in order, and the ranges of them that are rolled."""
    calls: list[Call] = []
    rolled = []
    for unit in chain:
        if unit.past - unit.first > 1:
            rolled.append((len(calls), len(calls) + len(unit.calls)))
        calls += unit.calls
    return tuple(calls), tuple(rolled)
