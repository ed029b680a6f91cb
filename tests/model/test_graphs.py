"""The strategies themselves: what they draw is legal, and they draw everything."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from tests.model.graphs import FLOAT_OPERATORS, INTEGER_OPERATORS, TFLM_OPERATORS, float_graphs, integer_graphs

from marram.core.graph import Graph
from marram.model.spec import RULES, verify

SETTINGS = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck)}


def test_operators_are_the_specs() -> None:
    assert {kind for kind, rule in RULES.items() if rule.integer} >= INTEGER_OPERATORS > TFLM_OPERATORS
    assert set(RULES) >= FLOAT_OPERATORS


@pytest.mark.parametrize("stage", ["integer", "float"])
def test_drawn_graphs_are_legal_and_hold_every_operator(stage: str) -> None:
    drawn: Counter[type] = Counter()

    @settings(max_examples=300, **SETTINGS)
    @given(graph=integer_graphs(operators=INTEGER_OPERATORS) if stage == "integer" else float_graphs())
    def check(graph: Graph) -> None:
        verify(graph, stage)
        drawn.update(type(node.op) for node in graph.nodes)

    check()
    assert set(drawn) == set(INTEGER_OPERATORS if stage == "integer" else FLOAT_OPERATORS)
