"""How many bytes a run reads and writes of each block: what decides who stands in the fast memory.

An estimate on one model for all: an output pixel reads its window and its weights once. A kernel that makes several pixels at
a time reads weights less often; a cache would change all of it.
"""

from __future__ import annotations

import msgspec

from marram.compile.memory.layout import Chain, Layout
from marram.compile.memory.lifetimes import Lives
from marram.compile.memory.plan import Problem


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The constants of a task in flash: their bytes, and the bytes read of them in a run."""

    task: str
    size_bytes: int
    reads: int


def traffic_of(problem: Problem, lives: Lives, chain: Chain, layout: Layout) -> list[int]:
    """Bytes read and written of each block in a run: a window operator reads a byte once for each window that holds it."""
    found: dict[str, int] = {}
    for task in problem.tasks:
        rows = tuple(problem.values[name].rows for name in task.inputs)
        form = task.form(rows, problem.values[task.outputs[0]].rows, False)
        for index, name in enumerate(task.inputs):
            times = 1.0
            for windows in (form.windows, form.columns):
                if windows is not None:
                    times *= windows[index].kernel * windows[index].rate / windows[index].stride
            root = lives.root[name]
            found[root] = found.get(root, 0) + int(problem.values[name].size_bytes * max(times, 1.0))
        for name in task.outputs:
            found[lives.root[name]] = found.get(lives.root[name], 0) + problem.values[name].size_bytes
    calls = [len(unit.calls) for unit in chain]
    return [found.get(block.name, 0) if block.name else 2 * block.size * calls[block.first] for block in layout.blocks]
