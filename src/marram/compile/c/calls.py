"""A memory plan as C: the calls of the layers in order, each with its places in the arena.

A layer that is called once is a plain call. Layers that are rolled take turns by a table of steps, one byte each in most
models: which layer, and how many rows of it. What repeats stands in the table once.
"""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compile.c.geometry import rows_of
from marram.compile.c.layers import Layer, Layers
from marram.compile.c.place import Routine
from marram.compile.memory.plan import Call, MemoryPlan, Slot
from marram.core.graph import Tensor


def c_type(tensor: Tensor) -> str:
    """The C type of a tensor's elements."""
    return f"{tensor.dtype}_t"


def sources_of(layer: Layer) -> list[Tensor]:
    """The tensors of a layer's activation inputs, in order."""
    pairs = zip(layer.site.inputs, layer.site.constants, strict=True)
    return [tensor for tensor, constant in pairs if tensor is not None and constant is None]


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where values and scratch stand in the arena, in bytes from its beginning."""

    found: Layers
    values: dict[str, Slot]
    scratch: dict[str, Slot]

    def of(self, name: str) -> int:
        """The offset of a value, through the values that it is inside of."""
        value, offset = self.found.values[name], 0
        while value.inside is not None:
            offset += value.inside_offset
            value = self.found.values[value.inside]
        return self.values[value.name].offset_bytes + offset


def places_of(found: Layers, plan: MemoryPlan) -> Places:
    """The places of a plan."""
    return Places(
        found=found,
        values={slot.name: slot for slot in plan.slots if slot.kind != "scratch"},
        scratch={slot.name: slot for slot in plan.slots if slot.kind == "scratch"},
    )


def calls_text(prefix: str, found: Layers, routines: tuple[Routine, ...], plan: MemoryPlan) -> str:
    """``<prefix>_layers`` and the functions of rolled layers before it."""
    places = places_of(found, plan)
    lines = [f"MARRAM_NOINLINE static void {prefix}_layers(uint8_t *arena)", "{"]
    if not plan.calls:
        lines.append("    (void)arena;")
    rolled: list[str] = []
    pasts = dict(plan.rolled)
    index = 0
    while index < len(plan.calls):
        call = plan.calls[index]
        if index in pasts:
            name = f"{prefix}_rolled{len(rolled)}"
            rolled.append(_rolled_text(name, prefix, plan.calls[index : pasts[index]], routines, places))
            lines.append(f"    {name}(arena);")
            index = pasts[index]
        else:
            height = rows_of(found.layers[call.task].site.output.shape)[0]  # a view in another shape has other rows
            lines.append(f"    {_call_text(prefix, call.task, routines, places, ('0', str(height)))}")
            index += 1
    return "\n\n".join([*rolled, "\n".join([*lines, "}"])])


def _call_text(prefix: str, task: int, routines: tuple[Routine, ...], places: Places, rows: tuple[str, str]) -> str:
    layer, answer = places.found.layers[task], routines[task]
    arguments = [
        f"(const {c_type(tensor)} *)(const void *)(arena + {places.of(name)})"
        for name, tensor in zip(layer.inputs, sources_of(layer), strict=True)
    ]
    arguments += [
        f"({c_type(tensor)} *)(void *)(arena + {places.of(name)})"
        for name, tensor in zip(layer.outputs, layer.site.outputs, strict=True)
    ]
    if answer.windows is not None:
        arguments += rows
    if answer.scratch_bytes:
        arguments.append(f"arena + {places.scratch[layer.name].offset_bytes}")
    return f"{prefix}_{layer.name}({', '.join(arguments)});"


def _rolled_text(name: str, prefix: str, calls: tuple[Call, ...], routines: tuple[Routine, ...], places: Places) -> str:
    """One function that makes the rows of several layers in turn; inlined, as that leaves less on the stack."""
    first, past = min(call.task for call in calls), max(call.task for call in calls) + 1
    shift = (max(call.row_end - call.row_begin for call in calls) - 1).bit_length()
    steps = [(call.task - first) << shift | (call.row_end - call.row_begin - 1) for call in calls]
    kept, begin, end, again = folded(steps)
    entry = "uint8_t" if max(kept) <= 0xFF else "uint16_t"
    mask = (1 << shift) - 1
    counter_type = "uint8_t" if max(call.row_end for call in calls) <= 0xFF else "uint16_t"
    cases = []
    for task in range(first, past):
        label = f"case {task - first}:" if task + 1 < past else "default:"
        cases.append(f"        {label} {_call_text(prefix, task, routines, places, ('begin', 'end'))} break;")
    turns = (
        [f"        if (step == {end} && again > 0) {{", "            again--;", f"            step = {begin};", "        }"]
        if again
        else []
    )
    counter = [f"    int again = {again};"] if again else []
    repeated = f" Steps {begin} to {end - 1} are made {again + 1} times." if again else ""
    return "\n".join(
        [
            f"/* A step: a layer, counted from {places.found.layers[first].name}, times {1 << shift}, plus its rows less one.",
            f" *{repeated} */" if repeated else " */",
            f"MARRAM_INLINE void {name}(uint8_t *arena)",
            "{",
            f"    static const {entry} steps[{len(kept)}] = {{{','.join(map(str, kept))}}};",
            f"    {counter_type} done[{past - first}] = {{0}};",
            *counter,
            "    int step = 0;",
            f"    while (step < {len(kept)}) {{",
            f"        const int layer = steps[step] >> {shift};",
            "        const int begin = done[layer];",
            f"        const int end = begin + (steps[step] & {mask}) + 1;" if mask else "        const int end = begin + 1;",
            f"        done[layer] = ({counter_type})end;",
            "        switch (layer) {",
            *cases,
            "        }",
            "        step++;",
            *turns,
            "    }",
            "}",
        ]
    )


def folded(steps: list[int]) -> tuple[list[int], int, int, int]:
    """Steps with their longest repetition left out.

    Returns:
        What is kept, ``begin`` and ``end`` of the part that repeats, and how many times more it is made after the first.
    """
    line = np.asarray(steps, dtype=np.int64)
    best = (0, 0, 0)
    for period in range(1, min(len(steps) // 2, 256) + 1):
        unequal = np.flatnonzero(line[period:] != line[:-period])
        edges = np.concatenate([[-1], unequal, [len(steps) - period]])
        runs = np.diff(edges) - 1
        longest = int(runs.argmax())
        more = int(runs[longest]) // period
        best = max(best, (more * period, -period, int(edges[longest]) + 1))
    saved, period, begin = best[0], -best[1], best[2]
    if not saved:
        return list(steps), 0, 0, 0
    end = begin + period
    return [*steps[:end], *steps[end + saved :]], begin, end, saved // period
