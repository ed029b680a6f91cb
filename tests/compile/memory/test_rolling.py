"""Schedules of rows and distances of overlaps against what can be counted by hand."""

from __future__ import annotations

from marram.compile.c.place import POINTWISE, Window
from marram.compile.memory.overlap import EQUAL, distance
from marram.compile.memory.plan import Form, Problem, Task, Value
from marram.compile.memory.rolling import Flow, Segment, schedule

THREE = Window(kernel=3, stride=1, pad=1)


def value(name, rows, width=1, pixel=1):
    return Value(name=name, rows=rows, width=width, pixel_bytes=pixel)


def flow(inputs, windows, output, *, elementwise=False):
    return Flow(inputs=inputs, windows=windows, output=output, elementwise=elementwise)


def rolled(heights, flows, *, inner, dying=(), leaving=(), most=1, backwards=False):
    values = {name: value(name, rows) for name, rows in heights.items()}
    problem = Problem(tasks=(), values=values, inputs=(), outputs=())
    segment = Segment(first=0, past=len(flows), flows=tuple(flows), inner=inner, dying=dying, leaving=leaving, follow=leaving)
    return schedule(problem, segment, most=most, backwards=backwards)


def test_a_chain_of_3x3_windows_holds_three_rows_of_each():
    flows = [flow(("x",), (THREE,), "a"), flow(("a",), (THREE,), "b"), flow(("b",), (THREE,), "y")]
    found = rolled(dict.fromkeys("xaby", 20), flows, inner=("a", "b"), dying=("x",), leaving=("y",))
    assert found.rows == {"a": 3, "b": 3}
    assert [(call.task, call.row_begin) for call in found.calls[:6]] == [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    assert len(found.calls) == 60
    # y's row r is made when x's rows from r + 2 - 1 on are still to be read: y may begin where x does
    assert found.distances == {("x", "y"): 0}


def test_strides_hold_what_the_next_window_needs_again():
    by_two = Window(kernel=3, stride=2)
    found = rolled({"x": 33, "a": 33, "y": 16}, [flow(("x",), (POINTWISE,), "a"), flow(("a",), (by_two,), "y")], inner=("a",))
    assert found.rows == {"a": 3}
    banded = rolled(
        {"x": 33, "a": 33, "y": 16}, [flow(("x",), (POINTWISE,), "a"), flow(("a",), (by_two,), "y")], inner=("a",), most=4
    )
    assert banded.rows == {"a": 9}
    assert len(banded.calls) < len(found.calls) / 3


def test_a_residual_holds_the_rows_that_the_branch_is_behind():
    """y = a + conv(conv(a)): when row r of the sum is made, the branch has read a up to row r + 2."""
    flows = [
        flow(("x",), (POINTWISE,), "a"),
        flow(("a",), (THREE,), "b"),
        flow(("b",), (THREE,), "c"),
        flow(("a", "c"), (POINTWISE, POINTWISE), "y", elementwise=True),
    ]
    found = rolled(dict.fromkeys("xabcy", 16), flows, inner=("a", "b", "c"), leaving=("y",))
    assert found.rows == {"a": 3, "b": 3, "c": 1}


def test_the_order_of_branches_matters():
    """A branch with stride 2 and a shortcut of stride 2: making the shortcut first keeps fewer rows."""
    flows = [
        flow(("x",), (POINTWISE,), "a"),
        flow(("a",), (Window(kernel=3, stride=2),), "b"),
        flow(("b",), (THREE,), "c"),
        flow(("a",), (Window(kernel=1, stride=2),), "s"),
        flow(("c", "s"), (POINTWISE, POINTWISE), "y"),
    ]
    heights = {"x": 33, "a": 33, "b": 16, "c": 16, "s": 16, "y": 16}
    forwards = rolled(heights, flows, inner=("a", "b", "c", "s"))
    backwards = rolled(heights, flows, inner=("a", "b", "c", "s"), backwards=True)
    assert forwards.rows["a"] == 5
    assert backwards.rows["a"] == 3
    assert backwards.rows["s"] == 1


def test_too_many_calls_are_no_schedule():
    assert (
        rolled(
            {"x": 5000, "a": 5000, "y": 5000}, [flow(("x",), (POINTWISE,), "a"), flow(("a",), (POINTWISE,), "y")], inner=("a",)
        )
        is None
    )


def least(window, traversal, *, x, y, block=1, columns=None):
    form = Form(
        scratch_bytes=0, windows=(window,), columns=(columns or window,), traversal=traversal, block=block, instructions=1.0
    )
    task = Task(name="t", inputs=("x",), outputs=("y",), form=lambda *_: form)
    return distance(task, form, "x", {"x": x, "y": y})


def test_distances():
    x, wide = value("x", 8, 6, 4), value("y", 8, 6, 9)
    same = value("y", 8, 6, 4)
    assert least(POINTWISE, "elements", x=x, y=same) == 0
    assert least(POINTWISE, "elements", x=x, y=wide) is None
    assert least(POINTWISE, "pixels", x=x, y=same) == 0
    assert least(POINTWISE, "pixels", x=x, y=same, block=0) == 4  # a pixel's inputs are read while it is written
    assert least(THREE, "pixels", x=x, y=same) == (6 + 1) * 4  # the next pixel's window begins a row and a pixel before it
    assert least(THREE, "pixels", x=x, y=same, block=0) == (6 + 2) * 4
    assert least(POINTWISE, "pixels", x=x, y=wide) == (8 * 6 - 1) * (9 - 4)
    assert least(THREE, "planes", x=x, y=same) == EQUAL
    assert least(THREE, "planes", x=x, y=wide) is None
    assert least(THREE, "whole", x=x, y=same) is None
