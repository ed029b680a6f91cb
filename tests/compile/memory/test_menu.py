"""Plans of fronts in bands: no byte is overwritten that is still read, and the menu keeps what it promises."""

from __future__ import annotations

import pytest
from tests.compile.c.banding import all_patched, wide_front
from tests.compile.c.image_chains import image_chains
from tests.compile.c.test_random_graphs import drawn
from tests.compile.memory.simulator import execute

from marram.compile.c.answers import Answers
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import _problem
from marram.compile.c.layers import layers_of
from marram.compile.c.lowering import lower
from marram.compile.c.patches import Patched
from marram.compile.memory import Problem, plan_memory
from marram.compile.memory.menu import Menu, Tails


def problem_of(made: Patched, family: str) -> Problem:
    return _problem(layers_of(made.graph, joined=made.joined), Answers(FAMILIES[family]))


@pytest.mark.parametrize("family", ["dsp", "mve"])
def test_plans_of_bands_overwrite_nothing(family: str) -> None:
    graphs = [wide_front(), *drawn(image_chains(), 12, start=70)]
    problems = [problem_of(made[-1], family) for made in map(all_patched, map(lower, graphs)) if made]
    assert len(problems) > 4
    for problem in problems:
        fastest, smallest = (plan_memory(problem, budget_bytes=budget) for budget in (None, 1))
        execute(problem, fastest)
        execute(problem, smallest)
        menu = Menu(problem, below=fastest.arena_bytes)
        for chosen in menu.plans:
            execute(problem, menu.plan(chosen, fastest=chosen.instructions, front=()))


def test_a_menu_has_smaller_plans_only_the_cheapest_first() -> None:
    problem = problem_of(all_patched(lower(wide_front()))[-1], "dsp")
    below = plan_memory(problem, budget_bytes=1).arena_bytes * 2
    menu = Menu(problem, below=below)
    assert menu.plans
    assert all(plan.arena_bytes < below for plan in menu.plans)
    prices = [plan.instructions for plan in menu.plans]
    assert prices == sorted(prices)
    assert menu.may_fit(below)
    assert not menu.may_fit(1)
    assert not Menu(problem, below=2).plans  # the search for the least comes to an end where there is none


def test_bands_are_lean_together() -> None:
    """Weights are packed for one form: all bands have it."""
    problem = problem_of(all_patched(lower(wide_front()), bands=(4,))[-1], "dsp")
    menu = Menu(problem, below=1 << 20)
    for plan in menu.plans:
        lean = [each for unit in plan.units for each in unit.lean]
        forms: dict[str, set[bool]] = {}
        for task, each in zip(problem.tasks, lean, strict=True):
            rows = tuple(problem.values[name].rows for name in task.inputs)
            usual, spare = (task.form(rows, problem.values[task.outputs[0]].rows, kind) for kind in (False, True))
            if task.kin and (usual.scratch_bytes, usual.traversal) != (spare.scratch_bytes, spare.traversal):
                forms.setdefault(task.kin, set()).add(each)
        assert all(len(kinds) == 1 for kinds in forms.values())


def test_what_tails_need_is_near_what_plans_take() -> None:
    found = layers_of(lower(wide_front()))
    problem = _problem(found, Answers(FAMILIES["dsp"]))
    smallest = plan_memory(problem, budget_bytes=1).arena_bytes
    needs = Tails(problem).bytes_from(2 * smallest)
    assert len(needs) == len(problem.tasks) + 1
    assert 0.9 * smallest <= needs[0] <= 1.2 * smallest
    assert needs[-1] <= min(needs)
