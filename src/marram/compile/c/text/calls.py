"""A memory plan as C: the calls of the layers in order, each with its places in the arena.

A layer that is called once is a plain call. Layers that are rolled take turns by a table of steps, one byte each in most
models: which layer, and how many rows of it. What repeats stands in the table once. Calls that repeat with other places (the
steps of an unrolled recurrent layer) are a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
import numpy as np

from marram.compile.c.geometry import rows_of
from marram.compile.c.layers import Layers
from marram.compile.c.place import Routine
from marram.compile.c.text.addresses import Address, Places, parameters, places_of
from marram.compile.c.text.loops import loop_lines, shortest
from marram.compile.c.text.repetition import Functions, c_type, longest_repetition, sources_of
from marram.compile.memory.plan import Call, MemoryPlan


class _Calls(msgspec.Struct, frozen=True, kw_only=True):
    """What the text of calls is made from."""

    prefix: str
    found: Layers
    routines: tuple[Routine, ...]
    functions: Functions
    places: Places

    def addresses(self, task: int) -> tuple[Address, ...]:
        """Where a layer's inputs, outputs and scratch stand."""
        layer = self.found.layers[task]
        values = tuple(self.places.address(name) for name in (*layer.inputs, *layer.outputs))
        return (*values, self.places.scratch_address(layer.name)) if self.routines[task].scratch_bytes else values

    def whole(self, task: int, places: Sequence[str] = ()) -> str:
        """One call for all rows; a view in another shape has other rows."""
        return self.text(task, ("0", str(rows_of(self.found.layers[task].site.output.shape)[0])), places)

    def text(self, task: int, rows: tuple[str, str], places: Sequence[str] = ()) -> str:
        """One call; ``places`` are C expressions in place of the layer's own addresses."""
        layer, answer = self.found.layers[task], self.routines[task]
        types = [f"const {c_type(tensor)} *)(const" for tensor in sources_of(layer)]
        types += [f"{c_type(tensor)} *)(" for tensor in layer.site.outputs]
        given = list(places) or [f"{block} + {offset}" for block, offset in self.addresses(task)]
        arguments = [
            f"({head}{' ' if head.endswith('const') else ''}void *)({place})" for head, place in zip(types, given, strict=False)
        ]
        if answer.windows is not None:
            arguments += rows
        arguments += given[len(types) :]
        return f"{self.prefix}_{self.found.layers[self.functions.of[task]].name}({', '.join(arguments)});"


def calls_text(
    prefix: str,
    found: Layers,
    routines: tuple[Routine, ...],
    plan: MemoryPlan,
    functions: Functions,
    *,
    states: dict[str, int] | None = None,
) -> str:
    """``<prefix>_layers`` and the functions of rolled layers before it; with ``states`` it is given their block as well."""
    places = places_of(found, plan, states)
    calls = _Calls(prefix=prefix, found=found, routines=routines, functions=functions, places=places)
    lines = [f"MARRAM_NOINLINE static void {prefix}_layers({parameters(places.blocks)})", "{"]
    if not plan.calls or len(places.blocks) > 1:
        lines += [f"    (void){block};" for block in places.blocks]
    addresses = [calls.addresses(call.task) for call in plan.calls]
    rolled: list[str] = []
    pasts, loops = dict(plan.rolled), {one.first: one for one in functions.repeated}
    index = 0
    while index < len(plan.calls):
        task = plan.calls[index].task
        if index in pasts:
            name = f"{prefix}_rolled{len(rolled)}"
            rolled.append(_rolled_text(name, plan.calls[index : pasts[index]], calls))
            lines.append(f"    {name}({', '.join(places.blocks)});")
            index = pasts[index]
        elif index in loops:
            loop = shortest(loops[index], addresses)
            lines += [f"    {calls.whole(call.task)}" for call in plan.calls[index : loop.first]]
            tasks = [call.task for call in plan.calls[loop.first : loop.first + loop.period]]
            lines += loop_lines(loop, addresses, places.blocks, [partial(calls.whole, task) for task in tasks])
            index = loop.past
        else:
            lines.append(f"    {calls.whole(task)}")
            index += 1
    return "\n\n".join([*rolled, "\n".join([*lines, "}"])])


def _rolled_text(name: str, calls: tuple[Call, ...], made: _Calls) -> str:
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
        cases.append(f"        {label} {made.text(task, ('begin', 'end'))} break;")
    turns = (
        [f"        if (step == {end} && again > 0) {{", "            again--;", f"            step = {begin};", "        }"]
        if again
        else []
    )
    counter = [f"    int again = {again};"] if again else []
    repeated = f" Steps {begin} to {end - 1} are made {again + 1} times." if again else ""
    return "\n".join(
        [
            f"/* A step: a layer, counted from {made.found.layers[first].name}, times {1 << shift}, plus its rows less one.",
            f" *{repeated} */" if repeated else " */",
            f"MARRAM_INLINE void {name}({parameters(made.places.blocks)})",
            "{",
            *([f"    (void){block};" for block in made.places.blocks] if len(made.places.blocks) > 1 else []),
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
    best = longest_repetition(np.asarray(steps, dtype=np.int64))
    if best is None:
        return list(steps), 0, 0, 0
    begin, end = best.first, best.first + best.period
    return [*steps[:end], *steps[best.past :]], begin, end, best.turns - 1
