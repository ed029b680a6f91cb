"""Rows in turn: a segment of tasks works row by row, and what passes between them needs few rows at a time.

The order of calls follows from the rows that the last task asks for: each call first has made what it reads. What the order
needs, rows of every ring and how far the segment's outputs may follow its dying inputs, is read off its trace.
"""

from __future__ import annotations

import msgspec

from marram.compile.c.place import Window
from marram.compile.memory.plan import Call, Problem

MOST_CALLS = 4096


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a segment for the trace: windows by input, height of the output, and whether it is elementwise."""

    inputs: tuple[str, ...]
    windows: tuple[Window, ...]
    output: str
    elementwise: bool


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks ``[first, past)`` with what passes in, out, and between them.

    ``inner`` values are made and used up inside: they may be rings. ``dying`` values come from outside and are needed no
    more. ``leaving`` values are made inside and needed later, whole; those that ``follow`` may overlap dying ones.
    """

    first: int
    past: int
    flows: tuple[Flow, ...]
    inner: tuple[str, ...]
    dying: tuple[str, ...]
    leaving: tuple[str, ...]
    follow: tuple[str, ...]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Calls in order, rows of each inner value's ring, and the distance of each (dying, following) pair."""

    calls: tuple[Call, ...]
    rows: dict[str, int]
    distances: dict[tuple[str, str], int]


def schedule(problem: Problem, segment: Segment, *, most: int, backwards: bool) -> Schedule | None:
    """The order of calls in which no call makes more than ``most`` rows; None where it has too many.

    Args:
        problem: gives heights and sizes.
        segment: what to roll.
        most: rows in one call.
        backwards: have made the last input first. Where two branches meet, one of the two orders holds fewer rows.
    """
    calls = _calls(problem, segment, most=most, backwards=backwards)
    return None if calls is None else _traced(problem, segment, calls)


def _calls(problem: Problem, segment: Segment, *, most: int, backwards: bool) -> list[Call] | None:
    heights = [problem.values[flow.output].rows for flow in segment.flows]
    if sum(-(-height // most) for height in heights) > MOST_CALLS:
        return None
    source = {flow.output: index for index, flow in enumerate(segment.flows)}
    needs = []
    for flow in segment.flows:
        pairs = [
            (source[name], window, problem.values[name].rows)
            for name, window in zip(flow.inputs, flow.windows, strict=True)
            if name in source
        ]
        needs.append(pairs[::-1] if backwards else pairs)
    made = [0] * len(heights)
    calls: list[Call] = []

    def make(index: int, upto: int) -> None:
        while made[index] < upto:
            begin = made[index]
            end = min(begin + most, upto)
            for maker, window, height in needs[index]:
                past = window.needed(begin, end, height)[1]
                if made[maker] < past:
                    make(maker, past)
            calls.append(Call(task=segment.first + index, row_begin=begin, row_end=end))
            made[index] = end

    last = len(heights) - 1
    for row in range(0, heights[last], most):
        make(last, min(row + most, heights[last]))
    for index, flow in enumerate(segment.flows):
        if flow.output in segment.leaving:
            make(index, heights[index])
    return calls


def _traced(problem: Problem, segment: Segment, calls: list[Call]) -> Schedule:
    """Backwards over the calls: what later ones read says what must not have been overwritten."""
    values = problem.values
    rows = dict.fromkeys(segment.inner, 0)
    lowest = {name: values[name].rows for name in (*segment.inner, *segment.dying)}
    distances = {(dying, follower): 0 for dying in segment.dying for follower in segment.follow}
    for call in reversed(calls):
        flow = segment.flows[call.task - segment.first]
        output, end = flow.output, call.row_end
        if flow.elementwise:
            _follow(problem, distances, lowest, output, end)
        for name, window in zip(flow.inputs, flow.windows, strict=True):
            if name in lowest:
                lowest[name] = min(lowest[name], max(window.first(call.row_begin), 0))
        if not flow.elementwise:
            _follow(problem, distances, lowest, output, end)
        if output in rows:
            rows[output] = max(rows[output], end - min(lowest[output], call.row_begin))
    return Schedule(calls=tuple(calls), rows=rows, distances=distances)


def _follow(problem: Problem, distances: dict[tuple[str, str], int], lowest: dict[str, int], output: str, end: int) -> None:
    """A call writes ``output`` up to row ``end`` while rows from ``lowest`` on are still to be read."""
    for (dying, follower), known in distances.items():
        if follower == output and lowest[dying] < problem.values[dying].rows:
            ahead = end * problem.values[output].row_bytes - lowest[dying] * problem.values[dying].row_bytes
            distances[dying, follower] = max(known, ahead)
