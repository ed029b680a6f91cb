"""Plans over several memories: nothing leaves its memory, nobody destroys what another needs, and fast memory pays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.memory.problems import problems

from marram.compile.c.place import POINTWISE
from marram.compile.memory import Form, Problem, Region, Task, Value, Weights, plan_in_regions, plan_memory, settled
from marram.compile.memory.lifetimes import lives_of
from marram.compile.memory.overlap import distance
from marram.core.errors import UserError

SLOW = Region(name="sram", size_bytes=1 << 20, byte_cost=2.0)


def _dtcm(size: int) -> Region:
    return Region(name="dtcm", size_bytes=size, byte_cost=1.0)


def _apart(problem, plan) -> None:
    """Slots of one memory that live together share bytes only where a rolled range or a dying input permits it."""
    lives = lives_of(problem)
    rolled = {call for first, past in plan.rolled for call in range(first, past)}
    slots = [slot for slot in plan.slots if slot.size_bytes]
    for index, one in enumerate(slots):
        for other in slots[index + 1 :]:
            together = range(max(one.first, other.first), min(one.last, other.last) + 1)
            low, high = max(one.offset_bytes, other.offset_bytes), 0
            high = min(one.offset_bytes + one.size_bytes, other.offset_bytes + other.size_bytes)
            if one.memory != other.memory or not together or low >= high or set(together) & rolled:
                continue
            assert len(together) == 1, (one, other)
            task = problem.tasks[plan.calls[together[0]].task]
            output = lives.root[task.outputs[0]]
            assert output in (one.name, other.name)
            source = other if output == one.name else one
            made = one if output == one.name else other
            form = task.form(tuple(problem.values[name].rows for name in task.inputs), problem.values[output].rows, False)
            lean = task.form(tuple(problem.values[name].rows for name in task.inputs), problem.values[output].rows, True)
            least = [distance(task, each, source.name, problem.values) for each in (form, lean)]
            gap = source.offset_bytes - made.offset_bytes
            assert any(each is not None and (gap == 0 if each < 0 else gap >= each) for each in least)


@settings(max_examples=40)
@given(problem=problems(most_tasks=6), share=st.floats(0.0, 1.0))
def test_nothing_leaves_its_memory_and_fast_memory_pays(problem, share):
    fast = _dtcm(int(plan_memory(problem).arena_bytes * share))
    plan = plan_in_regions(problem, [SLOW, fast])
    assert [memory.name for memory in plan.memories] == ["sram", "dtcm"]
    assert plan.arena_bytes == sum(memory.arena_bytes for memory in plan.memories)
    assert all(memory.arena_bytes <= memory.size_bytes for memory in plan.memories)
    for slot in plan.slots:
        assert slot.offset_bytes % problem.align_bytes == 0
        assert slot.offset_bytes + slot.size_bytes <= plan.memories[slot.memory].arena_bytes
    _apart(problem, plan)
    assert plan.wait_cycles <= plan.slowest_wait_cycles


def _two_layers(*, between: int) -> Problem:
    """A small input, a large value, a small output: pointwise layers of 64 rows, which can be made row by row."""

    def form(_in_rows, _out_rows, _lean):
        return Form(
            scratch_bytes=0, windows=(POINTWISE,), columns=(POINTWISE,), traversal="whole", block=1, instructions=1000.0
        )

    values = {name: Value(name=name, rows=64, width=1, pixel_bytes=size) for name, size in (("x", 1), ("m", between), ("y", 1))}
    tasks = (
        Task(name="widen", inputs=("x",), outputs=("m",), form=form),
        Task(name="narrow", inputs=("m",), outputs=("y",), form=form),
    )
    return Problem(tasks=tasks, values=values, inputs=("x",), outputs=("y",))


def test_rows_in_turn_where_whole_values_find_no_room():
    problem = _two_layers(between=64)
    slow = Region(name="sram", size_bytes=1 << 20, byte_cost=0.01)
    plan = plan_in_regions(problem, [Region(name="dtcm", size_bytes=256, byte_cost=0.0), slow])
    assert not plan.rolled  # there is room for the large value in the slow memory, and rolling costs more
    small = Region(name="sram", size_bytes=256, byte_cost=2.0)
    tight = plan_in_regions(problem, [Region(name="dtcm", size_bytes=256, byte_cost=0.0), small])
    assert tight.rolled == ((0, len(tight.calls)),)
    assert all(memory.arena_bytes <= 256 for memory in tight.memories)


def test_rows_in_turn_where_waiting_costs_more():
    problem = _two_layers(between=64)
    plan = plan_in_regions(
        problem, [Region(name="dtcm", size_bytes=256, byte_cost=0.0), Region(name="sram", size_bytes=1 << 20, byte_cost=50.0)]
    )
    assert plan.rolled
    assert plan.wait_cycles == 0.0
    assert plan.extra_instructions > 0.0
    assert "made row by row" in " ".join(plan.explanation)


def test_constants_that_are_read_most_are_copied():
    problem = _two_layers(between=1)
    weights = [Weights(task="widen", size_bytes=64, reads=64), Weights(task="narrow", size_bytes=64, reads=6400)]
    room = Region(name="sram", size_bytes=128 + 64, byte_cost=2.0)
    assert plan_in_regions(problem, [room], weights).copies == ()
    plan = plan_in_regions(problem, [room], weights, flash_cost=5.0)
    assert [copy.task for copy in plan.copies] == ["narrow"]
    assert plan.memories[0].copied_bytes == 64
    assert plan.wait_cycles == plan.slowest_wait_cycles - 6400 * 3.0
    assert plan_in_regions(problem, [room], weights, flash_cost=2.0).copies == ()  # not read faster there


def test_hot_constants_go_before_cool_values():
    problem = _two_layers(between=1)
    weights = [Weights(task="narrow", size_bytes=192, reads=192_000)]
    plan = plan_in_regions(problem, [Region(name="dtcm", size_bytes=192, byte_cost=0.0), SLOW], weights, flash_cost=5.0)
    assert plan.memories[0].copied_bytes == 192
    assert {slot.memory for slot in plan.slots} == {1}


def test_copies_never_take_the_room_that_values_need():
    problem = _two_layers(between=1)
    need = plan_in_regions(problem, [SLOW]).arena_bytes
    weights = [Weights(task="narrow", size_bytes=64, reads=1 << 20)]
    only = Region(name="sram", size_bytes=need, byte_cost=0.0)
    assert plan_in_regions(problem, [only], weights, flash_cost=5.0).copies == ()


def test_copies_that_turn_out_too_large_stay_in_flash():
    problem = _two_layers(between=1)
    weights = [Weights(task="widen", size_bytes=64, reads=640), Weights(task="narrow", size_bytes=64, reads=640)]
    need = plan_in_regions(problem, [SLOW]).arena_bytes
    plan = plan_in_regions(problem, [Region(name="sram", size_bytes=need + 128, byte_cost=0.0)], weights, flash_cost=1.0)
    assert len(plan.copies) == 2
    less = settled(problem, plan, {"widen": 65, "narrow": 30})
    assert [(copy.task, copy.size_bytes) for copy in less.copies] == [("widen", 72), ("narrow", 32)]
    none = settled(problem, plan, {"widen": 129, "narrow": 64})
    assert [copy.task for copy in none.copies] == ["narrow"]
    assert none.memories[0].copied_bytes == 64
    assert none.wait_cycles == plan.wait_cycles + 640.0


def test_multiply_accumulates_read_their_input():
    problem = _two_layers(between=1)
    quiet = plan_in_regions(problem, [SLOW])
    busy = plan_in_regions(problem, [SLOW], macs={"narrow": 1000})
    assert quiet.wait_cycles == 4 * 64 * 2.0
    assert busy.wait_cycles == quiet.wait_cycles + (1000 - 64) * 2.0


def test_the_busier_value_stands_in_the_fast_memory():
    problem = _two_layers(between=1)
    fast = Region(name="dtcm", size_bytes=64, byte_cost=0.0)
    plan = plan_in_regions(problem, [fast, SLOW], macs={"widen": 5000})
    assert [slot.name for slot in plan.slots if slot.memory == 0] == ["x", "y"]  # y begins when x is dead


@settings(max_examples=10)
@given(problem=problems(most_tasks=4))
def test_too_small_memories_are_refused(problem):
    with pytest.raises(UserError, match="finds no room in sram"):
        plan_in_regions(problem, [Region(name="sram", size_bytes=0, byte_cost=1.0)])
