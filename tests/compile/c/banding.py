"""Graphs whose front is made in bands of columns, wanted or not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from marram.compile.c import generation
from marram.compile.c.families import FAMILIES
from marram.compile.c.front_ends import Version
from marram.compile.c.generation import Generated
from marram.compile.c.layers import Layers, layers_of
from marram.compile.c.lowering import lower
from marram.compile.c.patches import Patched, cuts, patched
from marram.compile.memory import Problem, plan_memory
from marram.core.graph import Graph


def all_patched(graph: Graph, *, bands: tuple[int, ...] = (2, 3)) -> list[Patched]:
    """A lowered graph with each front it can have in so many bands."""
    widths = ((cut, count) for cut in cuts(graph) for count in bands if graph.tensors[cut.tensor].shape[2] >= count)
    return [made for made in (patched(graph, cut, count) for cut, count in widths) if made is not None]


def generate_in_bands(graph: Graph, family: str, *, name: str, budget_bytes: int = 1) -> Generated | None:
    """C of a graph whose longest front is in 3 bands, or 2; None where it has no front that can be cut."""
    made = all_patched(lower(graph))
    if not made:
        return None

    def forced(version: Version, limit: int, problem_of: Callable[[Layers], Problem], *, pack_weights: bool) -> Version:
        del version, limit
        found = layers_of(made[-1].graph, joined=made[-1].joined, pack_weights=pack_weights)
        return Version(graph=made[-1].graph, found=found, plan=plan_memory(problem_of(found), budget_bytes=budget_bytes))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "in_bands", forced)
        return generation.generate(graph, FAMILIES[family], name=name, arena_limit_bytes=0)
