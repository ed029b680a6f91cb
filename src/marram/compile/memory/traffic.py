"""How many bytes a run reads and writes of each block: what decides who stands in the fast memory.

An estimate on one model for all families, held against counts on emulated cores: a multiply-accumulate reads one element of
its input, from scratch where the layer has some to gather windows in; a cache would change all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from marram.compile.memory.layout import Chain, Layout
from marram.compile.memory.lifetimes import Lives
from marram.compile.memory.plan import Problem, Task


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The constants of a task in flash: their bytes, and the bytes read of them in a run."""

    task: str
    size_bytes: int
    reads: int


def traffic_of(problem: Problem, lives: Lives, chain: Chain, layout: Layout, macs: Mapping[str, int]) -> list[int]:
    """Bytes read and written of each block in a run.

    Args:
        problem: tasks and values.
        lives: whose values are parts of others.
        chain: how the tasks are made.
        layout: the blocks.
        macs: multiply-accumulates by task, of those that have any.
    """
    gathers = {index for index, _, _ in layout.scratch}
    values: dict[str, int] = {}
    for index, task in enumerate(problem.tasks):
        for name, size in _moved(problem, task, 0 if index in gathers else macs.get(task.name, 0)):
            values[lives.root[name]] = values.get(lives.root[name], 0) + size
    calls = [len(unit.calls) for unit in chain]
    found = [values.get(block.name, 0) if block.name else 2 * block.size * calls[block.first] for block in layout.blocks]
    for index, _, at in layout.scratch:
        found[at] += macs.get(problem.tasks[index].name, 0)
    return found


def _moved(problem: Problem, task: Task, macs: int) -> Iterator[tuple[str, int]]:
    """What a task reads and writes of its values: a window operator reads a byte once for each window that holds it."""
    rows = tuple(problem.values[name].rows for name in task.inputs)
    form = task.form(rows, problem.values[task.outputs[0]].rows, False)
    for index, name in enumerate(task.inputs):
        times = 1.0
        for windows in (form.windows, form.columns):
            if windows is not None:
                times *= windows[index].kernel / windows[index].stride
        yield name, max(int(problem.values[name].size_bytes * max(times, 1.0)), macs)
    for name in task.outputs:
        yield name, problem.values[name].size_bytes
