"""What a plan says and how it is drawn, on a chain whose figures can be counted."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec
from hypothesis import given, settings
from tests.compile.memory.eager import eager_plan
from tests.compile.memory.problems import problems

from marram.compile.c.place import POINTWISE, Window
from marram.compile.memory import Form, MemoryPlan, Problem, Task, Value, draw_plan, plan_memory

THREE = Window(kernel=3, pad=1)


def layer(name, source, output, window, *, traversal="whole", scratch=0, spare=None):
    def form(in_rows, out_rows, lean):
        return Form(
            scratch_bytes=spare if lean and spare is not None else scratch,
            windows=(window,),
            columns=(window,),
            traversal=traversal,
            block=1,
            instructions=10_000.0 * (1.1 if lean else 1.0),
            call_instructions=20.0,
        )

    return Task(name=name, inputs=(source,), outputs=(output,), form=form)


def images(**pixels):
    return {name: Value(name=name, rows=20, width=10, pixel_bytes=size) for name, size in pixels.items()}


WIDE = Problem(
    tasks=(
        layer("l00_conv2d", "x", "a", THREE),
        layer("l01_conv2d", "a", "b", POINTWISE, scratch=64, spare=16),
        layer("l02_conv2d", "b", "y", THREE),
    ),
    values=images(x=2, a=20, b=20, y=2),
    inputs=("x",),
    outputs=("y",),
)


def test_the_fastest_plan_says_its_peak_and_what_less_would_cost():
    plan = plan_memory(WIDE, budget_bytes=1_000_000)
    assert plan.arena_bytes == 4000 + 4000 + 64
    assert plan.lower_bound_bytes == 8000
    assert plan.explanation[0] == "Peak of 8,064 B in l01_conv2d: input 4,000 B, output 4,000 B, scratch 64 B."
    assert plan.extra_instructions == 0.0
    assert plan.front[0] == (plan.arena_bytes, 0.0)
    assert "less would cost" in plan.explanation[-1]


def test_without_a_budget_scratch_counts_among_what_lives_at_once():
    plan = plan_memory(WIDE)
    assert plan.arena_bytes <= plan.lower_bound_bytes == 8000
    assert plan.front[0][0] == 8064


def test_a_budget_buys_the_cheapest_plan_that_fits():
    sizes = [size for size, _ in plan_memory(WIDE).front]
    assert sizes == sorted(sizes, reverse=True)
    costs = [cost for _, cost in plan_memory(WIDE).front]
    assert costs == sorted(costs)
    for budget in (8060, 6000, sizes[-1]):
        plan = plan_memory(WIDE, budget_bytes=budget)
        assert plan.arena_bytes <= budget
        assert plan.extra_instructions <= min(cost for size, cost in plan_memory(WIDE).front if size <= budget)


def test_the_smallest_plan_keeps_a_few_rows_and_one_that_is_too_large_is_seen():
    plan = plan_memory(WIDE, budget_bytes=100)
    # x and y whole (y may follow x), three rows of a and of b, the lean form's scratch
    assert plan.arena_bytes <= 400 + 400 + 3 * 200 + 3 * 200 + 16
    assert plan.rolled
    assert any("row by row" in sentence for sentence in plan.explanation)
    assert plan.explanation[-1] == "Nothing smaller was found."


def test_a_kernel_that_goes_pixel_by_pixel_works_in_the_place_of_its_input():
    problem = Problem(
        tasks=(layer("l00_conv2d", "x", "y", POINTWISE, traversal="pixels"),),
        values=images(x=8, y=8),
        inputs=("x",),
        outputs=("y",),
    )
    plan = plan_memory(problem)
    assert plan.arena_bytes == 1600
    assert "1,600 B of them shared" in plan.explanation[0]


@settings(max_examples=40)
@given(problem=problems())
def test_every_plan_can_be_drawn_and_written(problem):
    for plan in (plan_memory(problem), eager_plan(problem)):
        drawing = ET.fromstring(draw_plan(plan, [task.name for task in problem.tasks]))
        assert drawing.tag.endswith("svg")
        boxes = [part for part in drawing.iter() if part.tag.endswith("rect") and part.get("stroke")]
        assert len(boxes) >= len({slot.name for slot in plan.slots if slot.kind != "scratch"})
        assert "script" not in draw_plan(plan)
        assert msgspec.json.decode(msgspec.json.encode(plan), type=MemoryPlan) == plan
