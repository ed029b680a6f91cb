"""Plans for small arenas: layers that take turns, rings, overlaps and lean forms give the reference's bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compile.c.hosting import Host, differing
from tests.compile.c.image_chains import image_chains
from tests.compile.c.test_random_graphs import drawn, generated
from tests.compile.memory.eager import eager_plan
from tests.model.graphs import samples

from marram.compile.c import generation
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate
from marram.compile.c.text.calls import folded

VECTORS = 3


def smallest(graph, family, name):
    return generate(graph, FAMILIES[family], name=name, arena_limit_bytes=1)


def eager(graph, family, name):
    """Whatever can be rolled is rolled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "plan_memory", lambda problem, *, budget_bytes: eager_plan(problem, seed=len(problem.values)))
        return generate(graph, FAMILIES[family], name=name)


def middling(graph, family, name):
    """A budget half way between the fastest plan and the smallest."""
    sizes = [size for size, _ in generate(graph, FAMILIES[family], name=name).plan.front]
    return generate(graph, FAMILIES[family], name=name, arena_limit_bytes=(sizes[0] + sizes[-1]) // 2)


def check(made, folder):
    inputs = [samples(one.graph, VECTORS, seed=index) for index, one in enumerate(made)]
    found = Host(made, folder).run(inputs)
    faults = [differing(*each) for each in zip(made, inputs, found, strict=True)]
    assert not any(faults), [fault for fault in faults if fault]


@pytest.mark.parametrize("family", ["portable", "armv7m", "dsp", "mve"])
def test_random_image_graphs_rolled_wherever_they_can_be(family, tmp_path):
    made = generated(drawn(image_chains(), 40, start=31)[-10:], family, eager)
    assert sum(bool(one.plan.rolled) for one in made) > len(made) // 4
    check(made, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("make", [smallest, middling, eager])
@pytest.mark.parametrize("family", ["portable", "armv6m", "armv7m", "dsp", "mve"])
@pytest.mark.parametrize("start", range(100, 110))
def test_small_arenas_of_many_random_graphs(family, start, make, tmp_path):
    check(generated(drawn(image_chains(), 50, start=start), family, make), tmp_path)


def unfolded(kept, begin, end, again):
    return kept[:end] + kept[begin:end] * again + kept[end:]


@given(steps=st.lists(st.integers(0, 2), min_size=1, max_size=60))
def test_folded_steps_unfold_to_themselves(steps):
    assert unfolded(*folded(steps)) == steps


def test_a_period_is_kept_once():
    assert folded([9, *[1, 2, 3] * 40, 7]) == ([9, 1, 2, 3, 7], 1, 4, 39)
    assert folded([5]) == ([5], 0, 0, 0)
    assert folded(np.arange(10).tolist())[3] == 0
