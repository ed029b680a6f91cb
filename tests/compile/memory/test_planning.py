from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.memory.eager import eager_plan
from tests.compile.memory.problems import problems
from tests.compile.memory.simulator import execute

from marram.compile.memory import plan_memory


def sound(problem, plan):
    """Slots lie in the arena at aligned offsets, and the plan runs."""
    for slot in plan.slots:
        assert slot.offset_bytes % problem.align_bytes == 0
        assert 0 <= slot.offset_bytes <= slot.offset_bytes + slot.size_bytes <= plan.arena_bytes
        assert 0 <= slot.first <= slot.last <= max(len(plan.calls) - 1, 0)
    execute(problem, plan)


@settings(max_examples=60)
@given(problem=problems(), share=st.floats(0.2, 1.0))
def test_every_read_finds_its_bytes(problem, share):
    fastest = plan_memory(problem)
    sound(problem, fastest)
    sound(problem, plan_memory(problem, budget_bytes=1))
    budget = int(fastest.arena_bytes * share)
    sound(problem, plan_memory(problem, budget_bytes=budget))


@settings(max_examples=150)
@given(problem=problems(), seed=st.integers(0, 1000))
def test_every_read_finds_its_bytes_where_all_that_can_be_is_rolled(problem, seed):
    sound(problem, eager_plan(problem, seed=seed))


@pytest.mark.soak
@settings(max_examples=3000)
@given(problem=problems(most_tasks=14), share=st.floats(0.2, 1.0))
def test_every_read_finds_its_bytes_in_larger_problems(problem, share):
    fastest = plan_memory(problem)
    sound(problem, fastest)
    sound(problem, plan_memory(problem, budget_bytes=int(fastest.arena_bytes * share)))
