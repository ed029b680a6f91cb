"""Arenas in which one operator is put to the test: a producer, the operator, a consumer, and a plan made for them.

``between`` builds the graph; ``in_place`` lets the operator write over its input; ``rolled`` gives it rings and a few rows at a
time, made just before they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from marram.compile.c import generation
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.memory.plan import Call, MemoryPlan, Problem, Slot
from marram.core.graph import Array, Graph, Node, Quantisation, Tensor
from marram.core.operators import Operator, Quantise
from marram.model.shapes import output_shapes

Plan = Callable[..., MemoryPlan]


def tensor(name: str, shape: Sequence[int], quantisation: Quantisation, dtype: str = "int8") -> Tensor:
    return Tensor(name=name, shape=tuple(shape), dtype=dtype, quantisation=quantisation)  # type: ignore[arg-type]


def between(op: Operator, inputs: Sequence[Tensor], constants: dict[str, tuple[Tensor, Array]], out: Quantisation) -> Graph:
    """Activations ``inputs`` -> Quantise each -> ``op`` (with constants after them) -> Quantise -> output."""
    tensors, nodes = {}, []
    for index, given in enumerate(inputs):
        tensors |= {f"x{index}": tensor(f"x{index}", given.shape, given.quantisation), given.name: given}
        nodes.append(Node(name=f"before{index}", op=Quantise(), inputs=(f"x{index}",), outputs=(given.name,)))
    tensors |= {name: constant for name, (constant, _) in constants.items()}
    names = (*(given.name for given in inputs), *constants)
    (shape,) = output_shapes(op, [tensors[name].shape for name in names])
    tensors |= {"made": tensor("made", shape, out), "y": tensor("y", shape, out)}
    nodes.append(Node(name="op", op=op, inputs=names, outputs=("made",)))
    nodes.append(Node(name="after", op=Quantise(), inputs=("made",), outputs=("y",)))
    return Graph(
        name="between",
        inputs=tuple(f"x{index}" for index in range(len(inputs))),
        outputs=("y",),
        tensors=tensors,
        constants={name: values for name, (_, values) in constants.items()},
        nodes=tuple(nodes),
    )


def _plan(
    problem: Problem, sizes: dict[str, tuple[int, int]], calls: Sequence[Call], *, lean: bool, turns: bool = False
) -> MemoryPlan:
    """Values at given offsets with given rows, then the scratch of each task; with ``turns`` the calls are by rows."""
    slots, at, last = [], 0, len(calls) - 1
    for name, (offset, rows) in sizes.items():
        value = problem.values[name]
        kind = "value" if rows == value.rows else "ring"
        size = rows * value.row_bytes
        slots.append(Slot(name=name, kind=kind, offset_bytes=offset, size_bytes=size, rows=rows, first=0, last=last))
        at = max(at, offset + size)
    for task in problem.tasks:
        rows = tuple(sizes[name][1] for name in task.inputs)
        need = task.form(rows, sizes[task.outputs[0]][1], lean).scratch_bytes
        if need:
            at = -(-at // 16) * 16
            slots.append(Slot(name=task.name, kind="scratch", offset_bytes=at, size_bytes=need, rows=1, first=0, last=last))
            at += need
    return MemoryPlan(
        arena_bytes=at,
        slots=tuple(slots),
        calls=tuple(calls),
        lean=(lean,) * len(problem.tasks),
        lower_bound_bytes=at,
        rolled=((0, len(calls)),) if turns else (),
    )


def _aligned(size: int) -> int:
    return -(-size // 16) * 16


def in_turn(problem: Problem, *, lean: bool = False, budget_bytes: int | None = None) -> MemoryPlan:
    """Every value whole and in a place of its own."""
    del budget_bytes
    sizes, at = {}, 0
    for name, value in problem.values.items():
        sizes[name] = (at, value.rows)
        at += _aligned(value.size_bytes)
    calls = [Call(task=i, row_begin=0, row_end=problem.values[t.outputs[0]].rows) for i, t in enumerate(problem.tasks)]
    return _plan(problem, sizes, calls, lean=lean)


def in_place(*, lean: bool = False) -> Plan:
    """The operator's output stands where its (first) input stands."""

    def plan(problem: Problem, *, budget_bytes: int | None = None) -> MemoryPlan:
        del budget_bytes
        *_, op, _ = problem.tasks
        sizes, at = {}, 0
        for name in (*problem.inputs, *op.inputs[1:], *problem.outputs):
            sizes[name] = (at, problem.values[name].rows)
            at += _aligned(problem.values[name].size_bytes)
        for name in (op.inputs[0], op.outputs[0]):
            sizes[name] = (at, problem.values[name].rows)
        calls = [Call(task=i, row_begin=0, row_end=problem.values[t.outputs[0]].rows) for i, t in enumerate(problem.tasks)]
        return _plan(problem, sizes, calls, lean=lean)

    return plan


def rolled(step: int, *, spare: int = 0, lean: bool = False) -> Plan:
    """Inputs and output of the operator are rings; it makes ``step`` rows a call. ``spare`` rows more than the rings need."""

    def plan(problem: Problem, *, budget_bytes: int | None = None) -> MemoryPlan:
        del budget_bytes
        *_, op, after = problem.tasks
        at_op = len(problem.tasks) - 2
        made = problem.values[op.outputs[0]]
        sources = [problem.values[name] for name in op.inputs]
        form = op.form(tuple(value.rows for value in sources), made.rows, lean)
        if form.windows is None:  # rows are not kept: an image of one row becomes one of several
            return in_turn(problem, lean=lean)
        assert after.outputs[0] in problem.outputs
        held = []
        for window, source in zip(form.windows, sources, strict=True):
            held.append(min(-(-(step - 1) * window.stride // window.rate) + window.reach + spare, source.rows))
        rows = {name: problem.values[name].rows for name in (*problem.inputs, *problem.outputs)}
        rows |= dict(zip(op.inputs, held, strict=True)) | {made.name: min(step + spare, made.rows)}
        sizes, at = {}, 0
        for name, count in rows.items():
            sizes[name] = (at, count)
            at += _aligned(count * problem.values[name].row_bytes)
        calls, done = [], [0] * len(sources)
        for begin in range(0, made.rows, step):
            end = min(begin + step, made.rows)
            for index, (window, source) in enumerate(zip(form.windows, sources, strict=True)):
                _, past = window.needed(begin, end, source.rows)
                if past > done[index]:
                    calls.append(Call(task=index, row_begin=done[index], row_end=past))
                    done[index] = past
            calls.append(Call(task=at_op, row_begin=begin, row_end=end))
            calls.append(Call(task=at_op + 1, row_begin=begin, row_end=end))
        return _plan(problem, sizes, calls, lean=lean, turns=True)

    return plan


def generate_by(plan: Plan, graph: Graph, family: str, *, name: str, pack_weights: bool = False) -> Generated:
    """As ``generate``, with a plan of one's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "plan_memory", plan)
        return generate(graph, FAMILIES[family], name=name, pack_weights=pack_weights)


def extremes(graph: Graph, *, seed: int) -> list[Array]:
    """For each input: noise, noise at both ends only, all least, all greatest, stripes."""
    rng = np.random.default_rng(seed)
    found = []
    for one in graph.input_tensors:
        shape = one.shape[1:]
        ends = np.where(rng.integers(0, 2, (2, *shape)) == 1, 127, -128)
        stripes = np.where(np.indices(shape).sum(axis=0) % 2 == 1, 127, -128)[None]
        flat = [np.full((1, *shape), value) for value in (-128, 127)]
        found.append(np.concatenate([rng.integers(-128, 128, (3, *shape)), ends, *flat, stripes]).astype(np.int8))
    return found
