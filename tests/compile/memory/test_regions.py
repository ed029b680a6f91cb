from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.memory.problems import problems

from marram.compile.memory import plan_memory
from marram.compile.memory.regions import Region, Weights, place_in_regions
from marram.core.errors import UserError

SLOW = Region(name="sram", size_bytes=1 << 20, byte_cost=2.0)


@settings(max_examples=40)
@given(problem=problems(most_tasks=6), share=st.floats(0.0, 1.0))
def test_nothing_leaves_its_region_and_fast_memory_pays(problem, share):
    plan = plan_memory(problem)
    fast = Region(name="dtcm", size_bytes=int(plan.arena_bytes * share), byte_cost=1.0)
    found = place_in_regions(problem, [SLOW, fast])
    sizes = {"sram": SLOW.size_bytes, "dtcm": fast.size_bytes}
    assert all(stand.offset_bytes + stand.size_bytes <= found.used_bytes[stand.region] for stand in found.stands)
    assert all(size <= sizes[name] for name, size in found.used_bytes.items())
    assert sorted(stand.name for stand in found.stands) == sorted(slot.name for slot in plan.slots)
    assert found.cost <= place_in_regions(problem, [SLOW]).cost


@settings(max_examples=10)
@given(problem=problems(most_tasks=4))
def test_weights_that_are_read_most_are_copied_first(problem):
    arena = place_in_regions(problem, [SLOW]).used_bytes["sram"]
    weights = [
        Weights(name="often", size_bytes=64, reads=6400, byte_cost=5.0),
        Weights(name="once", size_bytes=64, reads=64, byte_cost=5.0),
    ]
    room = Region(name="sram", size_bytes=-(-arena // 16) * 16 + 64, byte_cost=2.0)
    copies = [stand for stand in place_in_regions(problem, [room], weights).stands if stand.kind == "copy"]
    assert [copy.name for copy in copies] == ["often"]


@settings(max_examples=10)
@given(problem=problems(most_tasks=4))
def test_too_small_regions_are_refused(problem):
    with pytest.raises(UserError, match="find no room in sram"):
        place_in_regions(problem, [Region(name="sram", size_bytes=0, byte_cost=1.0)])
