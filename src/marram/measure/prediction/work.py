"""From layers in a plan to the loops that their kernels go through; nothing is compiled, no text of a file is written."""

from __future__ import annotations

import re

import numpy as np

from marram.compile.c.generation import Assembled
from marram.compile.c.place import Routine
from marram.compile.memory.plan import Value
from marram.measure.prediction.c_text import whole_rows
from marram.measure.prediction.loops import dsp, dsp_depthwise, mve, portable, scalar
from marram.measure.prediction.loops.counting import Counter, Loops, Work, add

_CALLED = re.compile(r"\b(marram_\w+)(?=\()")
_KERNELS: dict[str, Counter] = {**portable.KERNELS, **scalar.KERNELS, **dsp.KERNELS, **mve.KERNELS}
# Functions whose names have the sizes or the way of work in them.
_NAMED: dict[str, Counter] = {"marram_dsp_depthwise_": dsp_depthwise.depthwise, mve.DEPTHWISE: mve.depthwise}


def kernel_of(routine: Routine) -> str:
    """The kernel that a routine is made of; empty where it is none that is known here."""
    for name in _CALLED.findall(routine.body):
        if name in _KERNELS:
            return str(name)
        found = [start for start in _NAMED if name.startswith(start)]
        if found:
            return found[0]
    return ""


ALONE = "alone "
"""Before the parts of a kernel that one layer alone calls: the compiler has folded that layer's numbers into it."""
_FOLDED = (
    "marram_mve_average",
    "marram_mve_max",
    "marram_mve_table",
    "marram_mve_add",
    "marram_mve_dense",
    "marram_portable_d",
)


def loops_of(routine: Routine, calls: tuple[tuple[int, int], ...], *, in_place: bool = False, alone: bool = False) -> Loops:
    """The loops of one layer.

    Args:
        routine: what the layer is made of.
        calls: the rows [begin, end) of its calls.
        in_place: whether its output stands where its first input stands.
        alone: whether no other layer calls its kernel.

    Returns:
        How often each part of the kernels runs; of a kernel that is not known here, its own estimate as ``estimate``.
    """
    whole = whole_rows(routine.body)
    if whole:
        calls = (whole,) * len(calls)
    elif routine.windows is None:
        calls = ((0, 1),) * len(calls)
    begins, ends = np.array(calls, np.int64).reshape(-1, 2).T
    name = kernel_of(routine)
    work = Work(text=routine.body, shared="\n".join(routine.shared), begins=begins, ends=ends, in_place=in_place)
    count = _NAMED.get(name) or _KERNELS.get(name)
    if count:
        loops = count(work)
        return {ALONE + part: times for part, times in loops.items()} if alone and name.startswith(_FOLDED) else loops
    return {"estimate": max(routine.instructions, 1.0) * len(calls)}


def only_callers(made: Assembled) -> list[bool]:
    """For each layer whether its function is the only one that calls its kernel."""
    names = [kernel_of(routine) for routine in made.routines]
    callers: dict[str, set[int]] = {}
    for name, function in zip(names, made.functions.of, strict=True):
        callers.setdefault(name, set()).add(function)
    return [len(callers[name]) == 1 for name in names]


def calls_of(made: Assembled) -> list[tuple[tuple[int, int], ...]]:
    """The rows of the calls of each layer."""
    found: list[list[tuple[int, int]]] = [[] for _ in made.found.layers]
    for call in made.plan.calls:
        found[call.task].append((call.row_begin, call.row_end))
    return [tuple(each) for each in found]


def in_place(made: Assembled) -> list[bool]:
    """Whether each layer's output stands where its first input stands."""
    at = {slot.name: (slot.memory, slot.offset_bytes) for slot in made.plan.slots if slot.kind != "scratch"}
    values = made.found.values
    return [
        bool(layer.inputs) and _place(at, values, layer.inputs[0]) == _place(at, values, layer.outputs[0])
        for layer in made.found.layers
    ]


def _place(at: dict[str, tuple[int, int]], values: dict[str, Value], name: str) -> tuple[int, int]:
    value = values[name]
    if value.inside is None:
        return at.get(name, (-1, hash(name)))
    memory, offset = _place(at, values, value.inside)
    return memory, offset + value.inside_offset


def loops_between(made: Assembled) -> Loops:
    """What calls the layers: plain calls, steps of layers that take turns, loops over equal calls."""
    plan = made.plan
    rolled = [range(first, past) for first, past in plan.rolled]
    looped = [range(one.first, one.past) for one in made.functions.repeated]
    steps, turns = sum(map(len, rolled)), sum(map(len, looped))
    loops: Loops = {}
    add(loops, "between.invoke", 1)
    add(loops, "between.calls", len(plan.calls) - steps - turns)
    add(loops, "between.rolled", len(rolled))
    add(loops, "between.steps", steps)
    add(loops, "between.loops", len(looped))
    add(loops, "between.turns", turns)
    return loops
