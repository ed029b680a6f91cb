"""The units of a plan: a task that is called once for all rows, or a segment of tasks that are rolled; with their price."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from marram.compile.memory.lifetimes import Lives
from marram.compile.memory.overlap import distance
from marram.compile.memory.placement import Block, bound
from marram.compile.memory.plan import Call, Form, Problem
from marram.compile.memory.rolling import Flow, Schedule, Segment, schedule

CALL_INSTRUCTIONS = 50.0
"""What a call and its step in the table cost beside the work, about."""

_BANDS = (1, 2, 3, 4, 6, 8, 16, 32)
_MOST_TASKS = 24


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks ``[first, past)`` made at one go.

    ``rows`` are those of the rings; ``lean`` and ``scratch`` go by task; ``relations`` say of (input, output) how near they
    may come. ``bytes`` is what all that lives meanwhile needs at least.
    """

    first: int
    past: int
    calls: tuple[Call, ...]
    rows: dict[str, int]
    lean: tuple[bool, ...]
    scratch: tuple[int, ...]
    relations: dict[tuple[str, str], int]
    instructions: float
    bytes: int


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A unit before it is settled which form each task takes: ``fixed`` is what it needs beside scratch.

    ``choices`` has for each task its forms, each with whether it is the lean one.
    """

    first: int
    past: int
    calls: tuple[Call, ...]
    rows: dict[str, int]
    relations: dict[tuple[str, str], int]
    fixed: int
    choices: tuple[tuple[tuple[Form, bool], ...], ...]

    def unit(self, limit: int) -> Unit | None:
        """The cheapest choice of forms whose scratch fits ``limit`` bytes beside what is fixed; None where none does."""
        counts = [0] * (self.past - self.first)
        for call in self.calls:
            counts[call.task - self.first] += 1
        lean, scratch, instructions = [], [], 0.0
        for forms, count in zip(self.choices, counts, strict=True):
            fitting = [
                (_price(form, count), is_lean, form) for form, is_lean in forms if self.fixed + form.scratch_bytes <= limit
            ]
            if not fitting:
                return None
            price, is_lean, form = min(fitting, key=lambda each: each[:2])
            lean.append(is_lean)
            scratch.append(form.scratch_bytes)
            instructions += price
        return Unit(
            first=self.first,
            past=self.past,
            calls=self.calls,
            rows=self.rows,
            lean=tuple(lean),
            scratch=tuple(scratch),
            relations=self.relations,
            instructions=instructions,
            bytes=self.fixed + max(scratch),
        )


def _price(form: Form, calls: int) -> float:
    return form.instructions + form.call_instructions * max(calls - 1, 0) + CALL_INSTRUCTIONS * calls


class Units:
    """All units of a problem, made when asked for and kept; tasks of the kin in ``lean`` have their lean form only."""

    def __init__(self, problem: Problem, lives: Lives) -> None:
        self.problem = problem
        self.lives = lives
        self.lean: frozenset[str] = frozenset()
        self._singles: dict[int, tuple[Draft, ...]] = {}
        self._segments: dict[tuple[int, int], Segment | None] = {}
        self._schedules: dict[tuple[int, int, int], tuple[Schedule, int] | None] = {}
        self._leaner: dict[int, bool] = {}
        self._floors: dict[tuple[int, int], int] = {}
        self._flows: dict[int, Flow | None] = {}
        self._drafts: dict[tuple[int, int, int], Draft | None] = {}

    def leaner(self, kin: frozenset[str]) -> Units:
        """The units when tasks of more kin are lean."""
        units = Units(self.problem, self.lives)
        units.lean = self.lean | kin
        units._segments, units._schedules, units._floors = self._segments, self._schedules, self._floors
        units._flows, units._leaner = self._flows, self._leaner
        return units

    def cheapest(self, first: int, past: int, limit: int) -> Unit | None:
        """The unit of tasks ``[first, past)`` with the fewest instructions within ``limit`` bytes; None where none fits."""
        if past - first == 1:
            return _cheapest(self.single(first), limit)
        if past - first > _MOST_TASKS or self._segment(first, past) is None or self._floor(first, past) > limit:
            return None
        fitting = []
        for most in _BANDS:
            timed = self._schedule(first, past, most)
            if timed is not None and timed[1] > limit:
                break
            fitting.append(most)
        best: Unit | None = None
        for most in reversed(fitting):  # more rows in a call: fewer calls, but maybe no room for the faster forms
            draft = self._draft(first, past, most)
            unit = None if draft is None else draft.unit(limit)
            if unit is not None and (best is None or unit.instructions < best.instructions):
                best = unit
            elif best is not None:
                break
        return best

    def broken(self, index: int) -> bool:
        """Whether no segment can go on after a task: it makes all its rows at once, or a part of a value that others part."""
        return self._flow(index) is None or self.problem.tasks[index].outputs[0] in self.lives.parted

    def single(self, index: int) -> tuple[Draft, ...]:
        """A task called once, all buffers whole, for each of its forms."""
        if index not in self._singles:
            task = self.problem.tasks[index]
            height = self.problem.values[task.outputs[0]].rows
            output = self.lives.root[task.outputs[0]]
            drafts = []
            for form, lean in self._forms(index, {}):
                relations = {}
                for name in dict.fromkeys(task.inputs):
                    if self._dying(name, index, index + 1) and self._meeting(output, index):
                        least = distance(task, form, name, self.problem.values)
                        if least is not None:
                            relations[name, output] = least
                drafts.append(
                    Draft(
                        first=index,
                        past=index + 1,
                        calls=(Call(task=index, row_begin=0, row_end=height),),
                        rows={},
                        relations=relations,
                        fixed=self._live_bytes(index, index + 1, {}, relations),
                        choices=(((form, lean),),),
                    )
                )
            self._singles[index] = tuple(drafts)
        return self._singles[index]

    def _forms(self, index: int, rows: dict[str, int]) -> tuple[tuple[Form, bool], ...]:
        task, values = self.problem.tasks[index], self.problem.values
        in_rows = tuple(rows.get(name, values[name].rows) for name in task.inputs)
        out_rows = rows.get(task.outputs[0], values[task.outputs[0]].rows)
        usual = task.form(in_rows, out_rows, False)
        if index not in self._leaner:
            spare = task.form(in_rows, out_rows, True)
            self._leaner[index] = (spare.scratch_bytes, spare.traversal) != (usual.scratch_bytes, usual.traversal)
        if not self._leaner[index]:
            return ((usual, False),)  # asked once: making a form takes long
        spare = task.form(in_rows, out_rows, True)
        return ((spare, True),) if task.kin in self.lean else ((usual, False), (spare, True))

    def _dying(self, name: str, first: int, past: int) -> bool:
        """Whether a value that comes from outside is needed no more after tasks ``[first, past)``."""
        lives = self.lives
        return name in lives.plain and name not in lives.kept and first <= lives.last[name] < past

    def _meeting(self, output: str, first: int) -> bool:
        """Whether a value made from task ``first`` on may overlap what dies meanwhile."""
        return output in self.lives.plain and output not in self.problem.inputs and self.lives.first[output] >= first

    def _live_bytes(self, first: int, past: int, rows: dict[str, int], relations: dict[tuple[str, str], int]) -> int:
        values = self.problem.values
        names = self.lives.live(first, past)
        position = {name: index for index, name in enumerate(names)}
        blocks = [
            Block(name=name, size=rows.get(name, values[name].rows) * values[name].row_bytes, first=0, last=0) for name in names
        ]
        return bound(blocks, {(position[a], position[b]): least for (a, b), least in relations.items()})

    def _floor(self, first: int, past: int) -> int:
        """Bytes that a segment needs at least: rings of one row, outputs all over what dies."""
        key = (first, past)
        if key not in self._floors:
            segment = self._segment(first, past)
            assert segment is not None
            pairs = {(dying, follower): 0 for dying in segment.dying for follower in segment.follow}
            self._floors[key] = self._live_bytes(first, past, dict.fromkeys(segment.inner, 1), pairs)
        return self._floors[key]

    def _schedule(self, first: int, past: int, most: int) -> tuple[Schedule, int] | None:
        """The better of the orders of calls, and the bytes that live meanwhile beside scratch."""
        key = (first, past, most)
        if key not in self._schedules:
            segment = self._segment(first, past)
            assert segment is not None
            best: tuple[Schedule, int] | None = None
            branches = any(len(flow.inputs) > 1 for flow in segment.flows)
            for backwards in (False, True) if branches else (False,):
                found = schedule(self.problem, segment, most=most, backwards=backwards)
                if found is not None:
                    size = self._live_bytes(first, past, found.rows, found.distances)
                    if best is None or size < best[1]:
                        best = found, size
            self._schedules[key] = best
        return self._schedules[key]

    def _draft(self, first: int, past: int, most: int) -> Draft | None:
        key = (first, past, most)
        if key not in self._drafts:
            timed = self._schedule(first, past, most)
            self._drafts[key] = None
            if timed is not None:
                plan, size = timed
                choices = tuple(self._forms(index, plan.rows) for index in range(first, past))
                if all(form.windows is not None for forms in choices for form, _ in forms):
                    self._drafts[key] = Draft(
                        first=first,
                        past=past,
                        calls=plan.calls,
                        rows=plan.rows,
                        relations=plan.distances,
                        fixed=size,
                        choices=choices,
                    )
        return self._drafts[key]

    def _segment(self, first: int, past: int) -> Segment | None:
        key = (first, past)
        if key not in self._segments:
            self._segments[key] = self._cut(first, past)
        return self._segments[key]

    def _flow(self, index: int) -> Flow | None:
        if index not in self._flows:
            self._flows[index] = self._flow_of(index)
        return self._flows[index]

    def _flow_of(self, index: int) -> Flow | None:
        values, task = self.problem.values, self.problem.tasks[index]
        form, output = self.single(index)[0].choices[0][0][0], task.outputs[0]
        if form.windows is None or len(task.outputs) != 1 or values[output].rows == 1:
            return None
        same = all(values[name].size_bytes == values[output].size_bytes for name in task.inputs)
        elementwise = form.traversal == "elements" and same
        return Flow(inputs=task.inputs, windows=form.windows, output=output, elementwise=elementwise)

    def _cut(self, first: int, past: int) -> Segment | None:
        lives = self.lives
        flows = [flow for flow in map(self._flow, range(first, past)) if flow is not None]
        if len(flows) < past - first or any(flow.output in lives.parted for flow in flows[:-1]):
            return None
        made = {flow.output: lives.root[flow.output] for flow in flows}
        read = dict.fromkeys(name for flow in flows for name in flow.inputs)
        if any(name not in made and lives.root[name] in made.values() for name in read):
            return None  # one writes what another reads by another name: the trace would not see it
        inner = tuple(
            name for name in made if self._dying(name, first, past) and lives.readers.get(name) and lives.first[name] >= first
        )
        if not inner:
            return None
        return Segment(
            first=first,
            past=past,
            flows=tuple(flows),
            inner=inner,
            dying=tuple(name for name in read if name not in made and self._dying(name, first, past)),
            leaving=tuple(name for name in made if name not in inner),
            follow=tuple(name for name in made if name not in inner and self._meeting(name, first)),
        )


def _cheapest(drafts: Sequence[Draft], limit: int) -> Unit | None:
    units = [unit for unit in (draft.unit(limit) for draft in drafts) if unit is not None]
    return min(units, key=lambda unit: (unit.instructions, unit.bytes), default=None)
