"""What the memory planner takes and gives: tasks on values in, a plan of one arena out. All sizes are bytes.

A *value* is a tensor that lives in the arena. A *task* is one layer: the values that it reads and writes and, by its rows
and its order of work, what may overlap and what may be rolled. A *plan* says at which offset each value stands, in which
order which rows of which task are made, and how large the arena is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from marram.compile.c.place import Traversal, Window


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor in the arena: ``rows`` rows of ``width`` pixels of ``pixel_bytes``; one row where it has no rows.

    ``inside`` says that it is part of another value, at ``inside_offset``: concatenation without a copy, slices and splits
    that are views.
    """

    name: str
    rows: int
    width: int
    pixel_bytes: int
    inside: str | None = None
    inside_offset: int = 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * self.pixel_bytes

    @property
    def size_bytes(self) -> int:
        """Bytes of all rows."""
        return self.rows * self.row_bytes


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How a task works when its buffers hold so many rows: its scratch, its windows, its order, its price.

    ``windows``, ``columns``, ``traversal``, ``block`` and ``call_instructions`` are those of ``compile.c.place.Routine``.
    ``instructions`` is an estimate for all rows in one call, on one scale for all tasks of a problem.
    """

    scratch_bytes: int
    windows: tuple[Window, ...] | None
    columns: tuple[Window, ...] | None
    traversal: Traversal
    block: int
    instructions: float
    call_instructions: float = 0.0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One layer. ``inputs`` and ``outputs`` name values; ``form`` answers for given rows of the buffers, and lean or not.

    Tasks of one ``kin``, unless it is empty, have weights in common: these stand in flash once where all are lean or none is.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    form: Callable[[tuple[int, ...], int, bool], Form]
    kin: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be planned: ``tasks`` in execution order; ``inputs`` and ``outputs`` are the model's own values.

    Inputs are live from the beginning, outputs until the end. ``align_bytes`` holds for every offset.
    """

    tasks: tuple[Task, ...]
    values: dict[str, Value]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    align_bytes: int = 8


class Slot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of the arena: a value (``rows`` of it, fewer than it has when it is a ring) or a task's scratch.

    It is live from the beginning of call ``first`` to the end of call ``last``; calls are counted over ``MemoryPlan.calls``.
    Two slots that are live together may share bytes in two cases: a task's output overlaps an input that dies as it is
    made, and the scratch of tasks that are rolled together, as one of them works at a time. ``memory`` is an index of
    ``MemoryPlan.memories``; the offset counts from the beginning of that memory's arena.
    """

    name: str
    kind: Literal["value", "ring", "scratch"]
    offset_bytes: int
    size_bytes: int
    rows: int
    first: int
    last: int
    memory: int = 0


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of a task's routine: rows ``[row_begin, row_end)`` of its output; all rows where the task has none."""

    task: int
    row_begin: int
    row_end: int


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several memories: what a plan may use of it, and uses.

    ``size_bytes`` were granted. ``arena_bytes`` hold the slots that stand here, ``copied_bytes`` at most the constants that
    stand here in place of flash. ``byte_cost``: cycles that a byte read or written waits here.
    """

    name: str
    size_bytes: int
    byte_cost: float
    arena_bytes: int
    copied_bytes: int = 0


class Copy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The constants of a task that stand in RAM: which memory, by index, at most how many bytes, what it saves a run."""

    task: str
    memory: int
    size_bytes: int
    saved_cycles: float = 0.0


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where everything stands, and in which order it is made.

    ``rolled``: ranges ``[first, past)`` of ``calls`` in which tasks take turns, row by row.
    ``lower_bound_bytes`` is the largest set of values that are live together when each is whole and nothing overlaps.
    ``extra_instructions`` is the estimated share that leaner forms and rolling cost over the fastest plan.
    ``front`` has what other budgets would buy, as (arena bytes, extra instructions), from the fastest plan to the smallest.
    ``explanation`` is for people: where the peak is, because of what, and what less or more memory would cost.

    ``memories`` is empty where there is one arena. Else each has an arena of its own and ``arena_bytes`` is all of them;
    ``copies`` are the constants in RAM; ``wait_cycles`` estimates what a run waits for memory, and ``slowest_wait_cycles``
    what it would with everything in the slowest of them and no copies.
    """

    arena_bytes: int
    slots: tuple[Slot, ...]
    calls: tuple[Call, ...]
    lean: tuple[bool, ...]
    lower_bound_bytes: int
    rolled: tuple[tuple[int, int], ...] = ()
    front: tuple[tuple[int, float], ...] = ()
    extra_instructions: float = 0.0
    explanation: tuple[str, ...] = ()
    memories: tuple[Memory, ...] = ()
    copies: tuple[Copy, ...] = ()
    wait_cycles: float = 0.0
    slowest_wait_cycles: float = 0.0
