"""The scalar families on this machine: plain C on the data that their assembly reads gives the reference's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.compile.c.hosting import GUARD_BYTES, SANITISED, Host, differing, generate_apart
from tests.compile.c.scalar_layers import chains, edges
from tests.compile.c.test_random_graphs import drawn

from marram.compile.c import generation
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.memory.plan import Call, MemoryPlan, Problem, Slot
from marram.core.errors import UserError
from marram.core.graph import Graph

SCALAR = ("armv6m", "armv7m", "portable")
PER_COMPILE = 60
KERNELS = ("conv2d(&", "conv2d_flat(&", "dense(&")


def rolled(problem: Problem, *, budget_bytes: int | None = None) -> MemoryPlan:
    """A plan for a chain in which every value inside is a ring, as small as may be, and layers take turns row by row."""
    del budget_bytes
    values, tasks = problem.values, problem.tasks
    heights = [values[task.inputs[0]].rows for task in tasks] + [values[tasks[-1].outputs[0]].rows]
    forms = [task.form((rows,), past, False) for task, rows, past in zip(tasks, heights, heights[1:], strict=False)]
    windows = [form.windows[0] if form.windows else None for form in forms]
    inner = zip(heights[1:-1], windows, windows[1:], strict=False)
    held = [heights[0], *[min(rows, w.reach) if before and w else rows for rows, before, w in inner], heights[-1]]
    done, calls = [0] * len(tasks), []

    def make(task: int, past: int) -> None:
        step = 1 if windows[task] else heights[task + 1]
        while task >= 0 and done[task] < past:
            row = done[task]
            window = windows[task]
            if task:
                make(task - 1, window.needed(row, row + 1, heights[task])[1] if window else heights[task])
            calls.append(Call(task=task, row_begin=row, row_end=row + step))
            done[task] = row + step

    make(len(tasks) - 1, heights[-1])
    slots, at = [], GUARD_BYTES
    names = [tasks[0].inputs[0], *[task.outputs[0] for task in tasks]]
    for name, rows in zip(names, held, strict=True):
        size = rows * values[name].row_bytes
        kind = "ring" if rows < values[name].rows else "value"
        slots.append(Slot(name=name, kind=kind, offset_bytes=at, size_bytes=size, rows=rows, first=0, last=len(calls) - 1))
        at += -(-size // GUARD_BYTES) * GUARD_BYTES + GUARD_BYTES
    for index, task in enumerate(tasks):
        size = task.form((held[index],), held[index + 1], False).scratch_bytes
        if size:
            slots.append(
                Slot(name=task.name, kind="scratch", offset_bytes=at, size_bytes=size, rows=1, first=0, last=len(calls) - 1)
            )
            at += -(-size // GUARD_BYTES) * GUARD_BYTES + GUARD_BYTES
    return MemoryPlan(
        arena_bytes=at,
        slots=tuple(slots),
        calls=tuple(calls),
        rolled=((0, len(calls)),),
        lean=(False,) * len(tasks),
        lower_bound_bytes=at,
    )


def generate_rolled(graph: Graph, family: str, *, name: str) -> Generated:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "plan_memory", rolled)
        return generate(graph, FAMILIES[family], name=name)


def made_all_ways(graphs: Sequence[Graph], family: str) -> list[Generated]:
    """C with every buffer apart; with rings, row by row; and in the least memory, where buffers overlap."""
    made = []
    for index, graph in enumerate(graphs):
        try:
            made.append(generate_apart(graph, family, name=f"g{index}a"))
            made.append(generate_rolled(graph, family, name=f"g{index}b"))
            made.append(generate(graph, FAMILIES[family], name=f"g{index}c", arena_limit_bytes=1))
        except UserError as error:
            if "int32" not in str(error):
                raise
    assert len(made) > 2 * len(graphs)
    return made


def check(made: Sequence[Generated], folder: Path) -> None:
    for start in range(0, len(made), PER_COMPILE):
        part = made[start : start + PER_COMPILE]
        host = Host(part, folder / f"{start}", flags=SANITISED)
        inputs = [edges(one.graph, 6, seed=start + index) for index, one in enumerate(part)]
        problems = [differing(one, given, got) for one, given, got in zip(part, inputs, host.run(inputs), strict=True)]
        assert not [problem for problem in problems if problem]


@pytest.mark.parametrize("family", SCALAR)
def test_chains(family: str, tmp_path: Path) -> None:
    made = made_all_ways(drawn(chains(), 12, start=22), family)
    text = "\n".join(one.files[f"{one.name}.c"] for one in made)
    depthwise = "depthwise_conv2d(&" if family == "portable" else "columns_"
    assert all(f"marram_{family}_{kernel}" in text for kernel in (*KERNELS, depthwise))
    assert any(slot.kind == "ring" for one in made for slot in one.plan.slots)
    check(made, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("family", SCALAR)
def test_campaign(family: str, start: int, tmp_path: Path) -> None:
    check(made_all_ways(drawn(chains(), 300, start=500 + start), family), tmp_path)
