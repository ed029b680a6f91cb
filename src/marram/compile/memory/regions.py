"""Several memories: which values stand in the fast one, and which weights are copied there.

Each region has its own arena. What is read and written most for its bytes goes to the fastest region as long as the region
holds it; the rest goes to the next. Weights stay in flash unless there is room left where a copy is read faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marram.compile.memory.layout import Chain, Layout, layout_of
from marram.compile.memory.lifetimes import Lives, lives_of
from marram.compile.memory.placement import Placement, place
from marram.compile.memory.plan import Problem
from marram.compile.memory.planning import NO_LIMIT, cheapest_chain
from marram.compile.memory.units import Units
from marram.core.errors import UserError


class Region(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A memory: ``size_bytes`` for arenas and copies, and what the traffic of one byte costs on any one scale (wait cycles)."""

    name: str
    size_bytes: int
    byte_cost: float


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants of a layer in flash, read from there at ``byte_cost`` unless they are copied; ``reads`` in bytes a run."""

    name: str
    size_bytes: int
    reads: int
    byte_cost: float


class Stand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a value, a task's scratch or a copy of weights stands."""

    name: str
    kind: str
    region: str
    offset_bytes: int
    size_bytes: int


class RegionPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes used of each region (copies above the arena), every place, and the cost of all traffic of one run."""

    used_bytes: dict[str, int]
    stands: tuple[Stand, ...]
    cost: float


def place_in_regions(problem: Problem, regions: Sequence[Region], weights: Sequence[Weights] = ()) -> RegionPlan:
    """The fastest plan's values over several memories.

    Args:
        problem: tasks and values.
        regions: memories that can be written, in any order.
        weights: constants that may be copied where that is faster.

    Raises:
        UserError: the values do not fit all regions together.
    """
    lives = lives_of(problem)
    chain = cheapest_chain(problem, Units(problem, lives), NO_LIMIT)
    assert chain is not None
    layout = layout_of(problem, lives, chain)
    traffic = _traffic(problem, lives, chain, layout)
    waiting = sorted(range(len(layout.blocks)), key=lambda index: -traffic[index] / max(layout.blocks[index].size, 1))
    stands: list[Stand] = []
    used: dict[str, int] = {}
    cost = 0.0
    for region in sorted(regions, key=lambda each: each.byte_cost):
        inside, placement = _filled(layout, waiting, region, problem.align_bytes)
        waiting = [index for index in waiting if index not in inside]
        used[region.name] = placement.size
        cost += sum(traffic[index] for index in inside) * region.byte_cost
        for index, offset in zip(inside, placement.offsets, strict=True):
            stands += _stands(problem, layout, index, offset, region)
    if waiting:
        missing = sum(layout.blocks[index].size for index in waiting)
        raise UserError(
            f"values and scratch of {missing:,} bytes find no room in {', '.join(region.name for region in regions)}",
            hint="Name a larger region, or ask for a plan with a smaller arena.",
        )
    copies, saved = _copied(regions, weights, used, problem.align_bytes)
    flash = sum(each.reads * each.byte_cost for each in weights)
    return RegionPlan(used_bytes=used, stands=(*stands, *copies), cost=cost + flash - saved)


def _traffic(problem: Problem, lives: Lives, chain: Chain, layout: Layout) -> list[int]:
    """Bytes read and written of each block in a run: a window operator reads a byte once for each window that holds it."""
    found: dict[str, int] = {}
    for task in problem.tasks:
        rows = tuple(problem.values[name].rows for name in task.inputs)
        form = task.form(rows, problem.values[task.outputs[0]].rows, False)
        for index, name in enumerate(task.inputs):
            times = 1.0
            for windows in (form.windows, form.columns):
                if windows is not None:
                    times *= windows[index].kernel / windows[index].stride
            root = lives.root[name]
            found[root] = found.get(root, 0) + int(problem.values[name].size_bytes * max(times, 1.0))
        for name in task.outputs:
            found[lives.root[name]] = found.get(lives.root[name], 0) + problem.values[name].size_bytes
    calls = [len(unit.calls) for unit in chain]
    return [found.get(block.name, 0) if block.name else 2 * block.size * calls[block.first] for block in layout.blocks]


def _filled(layout: Layout, waiting: list[int], region: Region, align: int) -> tuple[list[int], Placement]:
    """As many blocks as the region holds, the first of ``waiting`` first."""
    inside: list[int] = []
    best = Placement(offsets=(), size=0, least=True)
    for index in waiting:
        trial = [*inside, index]
        position = {block: at for at, block in enumerate(trial)}
        relations = {
            (position[a], position[b]): least for (a, b), least in layout.relations.items() if a in position and b in position
        }
        placement = place([layout.blocks[each] for each in trial], relations, align=align, search=False)
        if placement.size <= region.size_bytes:
            inside, best = trial, placement
    return inside, best


def _stands(problem: Problem, layout: Layout, index: int, offset: int, region: Region) -> list[Stand]:
    block = layout.blocks[index]
    if block.name:
        kind = "ring" if block.name in layout.rings else "value"
        return [Stand(name=block.name, kind=kind, region=region.name, offset_bytes=offset, size_bytes=block.size)]
    return [
        Stand(name=problem.tasks[task].name, kind="scratch", region=region.name, offset_bytes=offset, size_bytes=size)
        for task, size, at in layout.scratch
        if at == index
    ]


def _copied(
    regions: Sequence[Region], weights: Sequence[Weights], used: dict[str, int], align: int
) -> tuple[list[Stand], float]:
    """Copies of weights above the arenas, those first that save most for their bytes; and what they save."""
    stands: list[Stand] = []
    saved = 0.0
    for each in sorted(weights, key=lambda one: -one.reads * one.byte_cost / max(one.size_bytes, 1)):
        for region in sorted(regions, key=lambda one: one.byte_cost):
            offset = -(-used[region.name] // align) * align
            gain = each.reads * (each.byte_cost - region.byte_cost)
            if gain > 0 and offset + each.size_bytes <= region.size_bytes:
                used[region.name] = offset + each.size_bytes
                saved += gain
                stands.append(
                    Stand(name=each.name, kind="copy", region=region.name, offset_bytes=offset, size_bytes=each.size_bytes)
                )
                break
    return stands, saved
