"""A plan executed on tags instead of numbers: every byte of the arena says whose byte it is.

Kernels are taken at their word and at their worst: scratch is scribbled on at the beginning of a call, a kernel that promises
no order writes all before it reads, one that goes pixel by pixel writes each as early as it may.
"""

from __future__ import annotations

import numpy as np

from marram.compile.memory.plan import Call, Form, MemoryPlan, Problem

GARBAGE = -1


class Corrupted(AssertionError):
    """A read found other bytes than it needed."""


class Machine:
    """The arena and where everything stands in it."""

    def __init__(self, problem: Problem, plan: MemoryPlan) -> None:
        self.problem = problem
        self.arena = np.full(plan.arena_bytes, GARBAGE, np.int64)
        self.slots = {slot.name: slot for slot in plan.slots if slot.kind != "scratch"}
        self.scratch = {slot.name: slot for slot in plan.slots if slot.kind == "scratch"}
        self.base = {}
        total = 0
        for name, value in problem.values.items():
            if value.inside is None:
                self.base[name] = total
                total += value.size_bytes
        self.lean = plan.lean

    def root(self, name: str) -> tuple[str, int]:
        value, offset = self.problem.values[name], 0
        while value.inside is not None:
            offset += value.inside_offset
            value = self.problem.values[value.inside]
        return value.name, offset

    def rows(self, name: str) -> int:
        root, _ = self.root(name)
        return self.slots[root].rows if root == name and self.slots[root].kind == "ring" else self.problem.values[name].rows

    def addresses(self, name: str, pixels: np.ndarray) -> np.ndarray:
        """Bytes of pixels (row, column), shape (n, 2), one after another."""
        value = self.problem.values[name]
        root, offset = self.root(name)
        row = pixels[:, 0] % self.rows(name)
        start = self.slots[root].offset_bytes + offset + row * value.row_bytes + pixels[:, 1] * value.pixel_bytes
        return (start[:, None] + np.arange(value.pixel_bytes)).ravel()

    def columns(self, task: int) -> tuple[int, int]:
        """The columns of its output that a task writes: all, or its part where each of several tasks writes one."""
        (output, *_), tasks = self.problem.tasks[task].outputs, self.problem.tasks
        writers = [index for index, each in enumerate(tasks) if output in each.outputs]
        if len(writers) == 1:
            return 0, self.problem.values[output].width
        widths = [self.problem.values[tasks[index].inputs[0]].width for index in writers]
        begin = sum(widths[: writers.index(task)])
        return begin, begin + widths[writers.index(task)]

    def tags(self, name: str, pixels: np.ndarray) -> np.ndarray:
        value = self.problem.values[name]
        root, offset = self.root(name)
        start = self.base[root] + offset + pixels[:, 0] * value.row_bytes + pixels[:, 1] * value.pixel_bytes
        return (start[:, None] + np.arange(value.pixel_bytes)).ravel()

    def write(self, name: str, pixels: np.ndarray) -> None:
        self.arena[self.addresses(name, pixels)] = self.tags(name, pixels)

    def scribble(self, name: str, pixels: np.ndarray) -> None:
        self.arena[self.addresses(name, pixels)] = GARBAGE

    def check(self, name: str, pixels: np.ndarray, who: str) -> None:
        if not np.array_equal(self.arena[self.addresses(name, pixels)], self.tags(name, pixels)):
            raise Corrupted(f"{who} finds {name} overwritten or not yet made")


def pixels_of(rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    grid = np.mgrid[rows[0] : rows[1], columns[0] : columns[1]]
    return grid.reshape(2, -1).T


def execute(problem: Problem, plan: MemoryPlan) -> None:
    """Run a plan; raises Corrupted where a read finds other bytes than those it is to find."""
    machine = Machine(problem, plan)
    for name in problem.inputs:
        value = problem.values[name]
        machine.write(name, pixels_of((0, value.rows), (0, value.width)))
    made = [0] * len(problem.tasks)
    for call in plan.calls:
        assert call.row_begin == made[call.task], "rows are made in order, each once"
        made[call.task] = call.row_end
        _call(machine, call)
    for name in problem.outputs:
        value = problem.values[name]
        machine.check(name, pixels_of((0, value.rows), (0, value.width)), "the caller")


def _call(machine: Machine, call: Call) -> None:
    problem = machine.problem
    task = problem.tasks[call.task]
    lean = machine.lean[call.task]
    form = task.form(tuple(machine.rows(name) for name in task.inputs), machine.rows(task.outputs[0]), lean)
    slot = machine.scratch.get(task.name)
    assert (slot.size_bytes if slot else 0) >= form.scratch_bytes
    if slot is not None:
        machine.arena[slot.offset_bytes : slot.offset_bytes + slot.size_bytes] = GARBAGE
    output = problem.values[task.outputs[0]]
    whole = (call.row_begin, call.row_end) == (0, output.rows)
    assert whole or form.windows is not None
    reads = [(name, _needed(machine, form, index, call)) for index, name in enumerate(task.inputs)]
    writes = pixels_of((call.row_begin, call.row_end), machine.columns(call.task))
    target = set(machine.addresses(output.name, writes).tolist())
    shared = [name for name, pixels in reads if not target.isdisjoint(machine.addresses(name, pixels).tolist())]
    if not shared or form.traversal == "whole":
        machine.scribble(output.name, writes)
        for name, pixels in reads:
            machine.check(name, pixels, task.name)
        for name in task.outputs:
            value = problem.values[name]
            machine.write(name, writes if name == output.name else pixels_of((0, value.rows), (0, value.width)))
    elif form.traversal == "planes":
        for name, pixels in reads:
            machine.check(name, pixels, task.name)
            if name in shared and (not whole or machine.slots[name].offset_bytes != machine.slots[output.name].offset_bytes):
                raise Corrupted(f"{task.name} works in place at another address")
        machine.write(output.name, writes)
    elif form.traversal == "elements":
        _elements(machine, task.name, reads, output.name, writes)
    else:
        _pixels(machine, task.name, form, task.inputs, output.name, writes)


def _needed(machine: Machine, form: Form, index: int, call: Call) -> np.ndarray:
    value = machine.problem.values[machine.problem.tasks[call.task].inputs[index]]
    rows = (0, value.rows)
    if form.windows is not None:
        rows = form.windows[index].needed(call.row_begin, call.row_end, value.rows)
    return pixels_of(rows, (0, value.width))


def _elements(machine: Machine, who: str, reads, output: str, writes: np.ndarray) -> None:
    to, tags = machine.addresses(output, writes), machine.tags(output, writes)
    sources = [(name, machine.addresses(name, pixels), machine.tags(name, pixels)) for name, pixels in reads]
    for index in range(to.size):
        for name, addresses, expected in sources:
            if addresses.size == to.size and machine.arena[addresses[index]] != expected[index]:
                raise Corrupted(f"{who} finds {name} overwritten at byte {index}")
            if addresses.size != to.size and not np.array_equal(machine.arena[addresses], expected):
                raise Corrupted(f"{who} finds {name} overwritten")
        machine.arena[to[index]] = tags[index]


def _pixels(machine: Machine, who: str, form: Form, inputs: tuple[str, ...], output: str, writes: np.ndarray) -> None:
    block = max(form.block, 1)
    for begin in range(0, len(writes), block):
        group = writes[begin : begin + block]
        if form.block == 0:
            machine.scribble(output, group)
        for index, name in enumerate(inputs):
            value = machine.problem.values[name]
            for y, x in group.tolist():
                rows = _places(form.windows[index], y, value.rows)
                columns = _places(form.columns[index], x, value.width) if form.columns else np.arange(value.width)
                grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
                machine.check(name, grid, who)
        machine.write(output, group)


def _places(window, at: int, limit: int) -> np.ndarray:
    places = window.first(at) + np.arange(window.kernel) * window.dilation
    return places[(places >= 0) & (places < limit)]
