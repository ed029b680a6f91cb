"""Several memories: what ``--memory NAME[=SIZE][:COST]`` says, and a result that says where everything stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from marram.compile.memory import Memory, MemoryPlan, Region
from marram.core.errors import UserError
from marram.core.target import Target

_TEXT = re.compile(r"(?P<name>[^=:]+)(=(?P<size>\d+(\.\d+)?)(?P<unit>B|KiB|MiB|))?(:(?P<cost>\d+(\.\d+)?))?")
_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
_STEP = 0.25
"""Cycles a byte by which a memory without a stated cost is slower than the one named before it: one for a word of four."""


class Stand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in a memory: a value, a ring of rows, scratch, or constants (``copy``), whose place the linker chooses."""

    name: str
    kind: str
    memory: str
    offset_bytes: int | None
    size_bytes: int


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model over several memories.

    ``wait_cycles`` estimates what a run waits for memory, by the stated costs of a byte; ``slowest_wait_cycles`` what it
    would with every value in the slowest memory and every constant in flash.
    """

    memories: tuple[Memory, ...]
    stands: tuple[Stand, ...]
    wait_cycles: float
    slowest_wait_cycles: float


def spread_of(plan: MemoryPlan) -> Spread | None:
    """The same of a plan; None where it has one arena."""
    if not plan.memories:
        return None
    names = [memory.name for memory in plan.memories]
    stands = [
        Stand(
            name=slot.name,
            kind=slot.kind,
            memory=names[slot.memory],
            offset_bytes=slot.offset_bytes,
            size_bytes=slot.size_bytes,
        )
        for slot in plan.slots
    ]
    stands += [
        Stand(name=copy.task, kind="copy", memory=names[copy.memory], offset_bytes=None, size_bytes=copy.size_bytes)
        for copy in plan.copies
    ]
    return Spread(
        memories=plan.memories,
        stands=tuple(stands),
        wait_cycles=plan.wait_cycles,
        slowest_wait_cycles=plan.slowest_wait_cycles,
    )


def regions_of(texts: Sequence[str], target: Target) -> tuple[Region, ...]:
    """The memories that were named.

    Args:
        texts: each ``NAME``, ``NAME=SIZE``, ``NAME:COST`` or ``NAME=SIZE:COST``: bytes, KiB or MiB, and the cycles that a byte
            read or written there waits. What is left out stands in the device's profile; a cost that is nowhere is higher
            by a wait cycle for each word than that of the memory before.
        target: the device.

    Raises:
        UserError: a text that cannot be read, or a memory without a size whose profile has none either.
    """
    known = {memory.name: memory for memory in target.memories}
    regions: list[Region] = []
    for text in texts:
        found = _TEXT.fullmatch(text)
        if found is None:
            raise UserError(f"{text!r} is no memory", where="--memory", hint="For instance dtcm=64KiB, or sram=512KiB:0.5.")
        name, stated = found["name"], known.get(found["name"])
        if found["size"] is None and stated is None:
            listed = f"{target.name} describes: {', '.join(known)}." if known else f"{target.name} describes no memories."
            raise UserError(f"has no size, and {target.name} does not state one", where=f"memory {name}", hint=listed)
        size = stated.size_bytes if stated and found["size"] is None else int(float(found["size"]) * _UNITS[found["unit"]])
        cost = regions[-1].byte_cost + _STEP if regions else 0.0
        if found["cost"] is not None:
            cost = float(found["cost"])
        elif stated is not None and stated.byte_cost is not None:
            cost = stated.byte_cost
        regions.append(Region(name=name, size_bytes=size, byte_cost=cost))
    return tuple(regions)


def check_limits(texts: Sequence[str], arena_kib: float | None, flash_cost: float | None) -> None:
    """Whether what was asked of memories goes together.

    Raises:
        UserError: a limit of one arena beside several memories, or a cost of flash without any.
    """
    if texts and arena_kib is not None:
        raise UserError("has no meaning beside --memory", where="--arena-kib", hint="Give each memory its size.")
    if not texts and flash_cost is not None:
        raise UserError("has no meaning without --memory", where="--flash-cost", hint="For instance --memory dtcm=64KiB.")
