"""Where values and scratch stand, as C sees it: a block of memory by the name of its pointer, and bytes from its beginning."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marram.compile.c.layers import Layers
from marram.compile.memory.plan import MemoryPlan, Slot

Address = tuple[str, int]
"""A block and an offset."""


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where values and scratch stand: in an arena, in bytes from its beginning.

    ``arenas`` are the names of the arenas' pointers, one for each memory. ``states`` are the values that are kept between
    runs: they stand in a block of their own, at so many bytes.
    """

    found: Layers
    values: dict[str, Slot]
    scratch: dict[str, Slot]
    arenas: tuple[str, ...]
    states: dict[str, int]

    @property
    def blocks(self) -> tuple[str, ...]:
        """The pointers that functions of calls are given."""
        return (*self.arenas, "state") if self.states else self.arenas

    def of(self, name: str) -> int:
        """The offset of a value, through the values that it is inside of."""
        root, offset = self._root(name)
        return (self.states[root] if root in self.states else self.values[root].offset_bytes) + offset

    def base(self, name: str) -> str:
        """The C name of what a value's offset counts from."""
        root = self._root(name)[0]
        return "state" if root in self.states else self.arenas[self.values[root].memory]

    def address(self, name: str) -> Address:
        """Both of a value."""
        return self.base(name), self.of(name)

    def scratch_address(self, layer: str) -> Address:
        """Where a layer's scratch stands."""
        slot = self.scratch[layer]
        return self.arenas[slot.memory], slot.offset_bytes

    def _root(self, name: str) -> tuple[str, int]:
        value, offset = self.found.values[name], 0
        while value.inside is not None:
            offset += value.inside_offset
            value = self.found.values[value.inside]
        return value.name, offset


def places_of(found: Layers, plan: MemoryPlan, states: dict[str, int] | None = None) -> Places:
    """The places of a plan; ``states`` as ``Places`` has them."""
    return Places(
        found=found,
        values={slot.name: slot for slot in plan.slots if slot.kind != "scratch"},
        scratch={slot.name: slot for slot in plan.slots if slot.kind == "scratch"},
        arenas=arena_names(plan),
        states=states or {},
    )


def arena_names(plan: MemoryPlan) -> tuple[str, ...]:
    """The pointers to the arenas of a plan: ``arena``, or one named after each of several memories."""
    return tuple(f"arena_{memory.name}" for memory in plan.memories) or ("arena",)


def parameters(blocks: Sequence[str]) -> str:
    """Pointers to blocks as parameters of a function."""
    return ", ".join(f"uint8_t *{block}" for block in blocks)
