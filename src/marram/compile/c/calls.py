"""A memory plan as C: the calls of the layers in order, each with its places in the arena.

A layer that is called once is a plain call. Layers that are rolled take turns by a table of steps, one byte each in most
models: which layer, and how many rows of it. What repeats stands in the table once. Calls that repeat with other places (the
steps of an unrolled recurrent layer) are a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import msgspec
import numpy as np

from marram.compile.c.geometry import rows_of
from marram.compile.c.layers import Layers
from marram.compile.c.place import Routine
from marram.compile.c.repetition import Functions, Repetition, c_type, longest_repetition, sources_of
from marram.compile.memory.plan import Call, MemoryPlan, Slot

_CALL_BYTES = 14
"""What a call with its addresses takes on a Thumb core, about."""
_MOST_JOINED = 4


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where values and scratch stand in the arena, in bytes from its beginning.

    ``states`` are the values that are kept between runs: they stand in a block of their own, at so many bytes.
    """

    found: Layers
    values: dict[str, Slot]
    scratch: dict[str, Slot]
    states: dict[str, int]

    def of(self, name: str) -> int:
        """The offset of a value, through the values that it is inside of."""
        root, offset = self._root(name)
        return (self.states[root] if root in self.states else self.values[root].offset_bytes) + offset

    def base(self, name: str) -> str:
        """The C name of what a value's offset counts from."""
        return "state" if self._root(name)[0] in self.states else "arena"

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
        states=states or {},
    )


class _Calls(msgspec.Struct, frozen=True, kw_only=True):
    """What the text of calls is made from."""

    prefix: str
    found: Layers
    routines: tuple[Routine, ...]
    functions: Functions
    places: Places

    def offsets(self, task: int) -> tuple[int, ...]:
        """Where in the arena a layer's inputs, outputs and scratch stand."""
        layer = self.found.layers[task]
        values = tuple(self.places.of(name) for name in (*layer.inputs, *layer.outputs))
        return (*values, self.places.scratch[layer.name].offset_bytes) if self.routines[task].scratch_bytes else values

    def bases(self, task: int) -> tuple[str, ...]:
        """What these offsets count from."""
        layer = self.found.layers[task]
        values = tuple(self.places.base(name) for name in (*layer.inputs, *layer.outputs))
        return (*values, "arena") if self.routines[task].scratch_bytes else values

    @property
    def blocks(self) -> tuple[str, ...]:
        """The pointers that functions of calls are given."""
        return ("arena", "state") if self.places.states else ("arena",)

    def whole(self, task: int, offsets: Sequence[object] = ()) -> str:
        """One call for all rows; a view in another shape has other rows."""
        return self.text(task, ("0", str(rows_of(self.found.layers[task].site.output.shape)[0])), offsets)

    def text(self, task: int, rows: tuple[str, str], offsets: Sequence[object] = ()) -> str:
        """One call; ``offsets`` are C expressions in place of the layer's own."""
        layer, answer = self.found.layers[task], self.routines[task]
        types = [f"const {c_type(tensor)} *)(const" for tensor in sources_of(layer)]
        types += [f"{c_type(tensor)} *)(" for tensor in layer.site.outputs]
        given = [f"{base} + {offset}" for base, offset in zip(self.bases(task), offsets or self.offsets(task), strict=True)]
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
    lines = [f"MARRAM_NOINLINE static void {prefix}_layers({_parameters(calls.blocks)})", "{"]
    if not plan.calls or states:
        lines += [f"    (void){block};" for block in calls.blocks]
    offsets = [calls.offsets(call.task) for call in plan.calls]
    rolled: list[str] = []
    pasts, loops = dict(plan.rolled), {one.first: one for one in functions.repeated if _from_equal_blocks(one, plan, calls)}
    index = 0
    while index < len(plan.calls):
        task = plan.calls[index].task
        if index in pasts:
            name = f"{prefix}_rolled{len(rolled)}"
            rolled.append(_rolled_text(name, plan.calls[index : pasts[index]], calls))
            lines.append(f"    {name}({', '.join(calls.blocks)});")
            index = pasts[index]
        elif index in loops:
            loop = _shortest(loops[index], offsets)
            lines += [f"    {calls.whole(call.task)}" for call in plan.calls[index : loop.first]]
            lines += _loop_lines(loop, offsets, plan, calls)
            index = loop.past
        else:
            lines.append(f"    {calls.whole(task)}")
            index += 1
    return "\n\n".join([*rolled, "\n".join([*lines, "}"])])


def _parameters(blocks: Sequence[str]) -> str:
    return ", ".join(f"uint8_t *{block}" for block in blocks)


def _from_equal_blocks(loop: Repetition, plan: MemoryPlan, calls: _Calls) -> bool:
    """Whether all turns of a loop find their values in the same blocks."""
    bases = [calls.bases(call.task) for call in plan.calls[loop.first : loop.past]]
    return all(later == earlier for earlier, later in zip(bases, bases[loop.period :], strict=False))


def _columns(loop: Repetition, offsets: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """For each call of a turn and each of its places the offsets turn by turn; ``offsets`` are those of all calls."""
    turns = offsets[loop.first : loop.past]
    return [list(zip(*turns[at :: loop.period], strict=True)) for at in range(loop.period)]


def _even(column: tuple[int, ...]) -> bool:
    """Whether offsets rise or fall by the same from turn to turn."""
    return len({after - before for before, after in pairwise(column)}) <= 1


def _shortest(loop: Repetition, offsets: Sequence[tuple[int, ...]]) -> Repetition:
    """The part of a loop, with so many steps in one turn, whose text and table are smallest; what is left over are plain calls.

    Places are even but for the first and last steps, where other values live; they may alternate between steps.
    """
    best, least = loop, 10**9
    for joined, skipped, left in product(range(1, min(loop.turns // 2, _MOST_JOINED) + 1), range(4), range(4)):
        turns = (loop.turns - skipped - left) // joined
        if turns < 2:
            continue
        trial = Repetition(first=loop.first + skipped * loop.period, period=loop.period * joined, turns=turns)
        uneven = {column for each in _columns(trial, offsets) for column in each if not _even(column)}
        texts = trial.period + (loop.turns - turns * joined) * loop.period
        size = texts * _CALL_BYTES + len(uneven) * (2 * turns + 4)
        if size < least:
            best, least = trial, size
    return best


def _loop_lines(loop: Repetition, offsets: Sequence[tuple[int, ...]], plan: MemoryPlan, calls: _Calls) -> list[str]:
    """A for statement; places that change unevenly from turn to turn stand in a table."""
    columns = _columns(loop, offsets)
    uneven = list(dict.fromkeys(column for each in columns for column in each if not _even(column)))
    lines = [f"    for (size_t turn = 0; turn < {loop.turns}u; turn++) {{"]
    if uneven:
        entry = "uint16_t" if max(map(max, uneven)) <= 0xFFFF else "uint32_t"
        rows = ",".join(f"{{{','.join(map(str, row))}}}" for row in zip(*uneven, strict=True))
        lines.append(f"        static const {entry} places[{loop.turns}][{len(uneven)}] = {{{rows}}};")

    def expression(column: tuple[int, ...]) -> str:
        if column in uneven:
            return f"places[turn][{uneven.index(column)}]"
        step = column[1] - column[0]
        return f"({column[0]}u {'+' if step > 0 else '-'} turn * {abs(step)}u)" if step else f"{column[0]}"

    for call, places in zip(plan.calls[loop.first :], columns, strict=False):
        lines.append(f"        {calls.whole(call.task, [expression(column) for column in places])}")
    return [*lines, "    }"]


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
            f"MARRAM_INLINE void {name}({_parameters(made.blocks)})",
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
    best = longest_repetition(np.asarray(steps, dtype=np.int64))
    if best is None:
        return list(steps), 0, 0, 0
    begin, end = best.first, best.first + best.period
    return [*steps[:end], *steps[best.past :]], begin, end, best.turns - 1
