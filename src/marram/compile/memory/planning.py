"""A Problem in, a MemoryPlan out."""

from __future__ import annotations

from marram.compile.memory.plan import Call, MemoryPlan, Problem, Slot


def plan_memory(problem: Problem, *, budget_bytes: int | None = None) -> MemoryPlan:
    """The cheapest plan in instructions whose arena fits the budget; the one with the least arena where none does.

    Args:
        problem: tasks and values.
        budget_bytes: what the arena may hold; None asks for the fastest plan, and among those for the least arena.
    """
    del budget_bytes
    lives: dict[str, list[int]] = {name: [0, 0] for name in problem.inputs}
    scratch: list[int] = []
    calls: list[Call] = []
    for index, task in enumerate(problem.tasks):
        rows = tuple(problem.values[name].rows for name in task.inputs)
        form = task.form(rows, problem.values[task.outputs[0]].rows, False)  # noqa: FBT003
        scratch.append(form.scratch_bytes)
        calls.append(Call(task=index, row_begin=0, row_end=problem.values[task.outputs[0]].rows))
        for name in (*task.inputs, *task.outputs):
            lives.setdefault(name, [index, index])[1] = index
    for name in problem.outputs:
        lives[name][1] = len(calls) - 1
    slots: list[Slot] = []

    def put(name: str, kind: str, size: int, rows: int, first: int, last: int) -> None:
        taken = sorted((s.offset_bytes, s.offset_bytes + s.size_bytes) for s in slots if s.first <= last and first <= s.last)
        offset = 0
        for begin, end in taken:
            if begin >= offset + size:
                break
            offset = max(offset, -(-end // problem.align_bytes) * problem.align_bytes)
        slots.append(Slot(name=name, kind=kind, offset_bytes=offset, size_bytes=size, rows=rows, first=first, last=last))  # type: ignore[arg-type]

    for name, (first, last) in sorted(lives.items(), key=lambda item: -problem.values[item[0]].size_bytes):
        value = problem.values[name]
        if value.inside is None:
            put(name, "value", value.size_bytes, value.rows, first, last)
    for index, size in enumerate(scratch):
        if size:
            put(problem.tasks[index].name, "scratch", size, 1, index, index)
    arena = max((slot.offset_bytes + slot.size_bytes for slot in slots), default=0)
    return MemoryPlan(
        arena_bytes=arena,
        slots=tuple(slots),
        calls=tuple(calls),
        lean=(False,) * len(problem.tasks),
        lower_bound_bytes=arena,
    )
