"""A Dense before a Split: made part by part where that is what is read, with the same integers."""

from __future__ import annotations

import numpy as np
from tests.compile.c.recurrent_models import recurrent_graph
from tests.model.graphs import samples

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate
from marram.compile.c.late_rows import with_late_rows
from marram.core.graph import with_nodes
from marram.core.operators import Dense, Split
from marram.model import interpret


def test_steps_are_projected_one_by_one_and_stay_what_they_were():
    graph = recurrent_graph("gru", length=7, every=True)
    made = with_late_rows(graph)
    parts = [node for node in made.nodes if "projection@" in node.name]
    assert len(parts) == 7
    assert not any(node.name.endswith("/projection") for node in made.nodes)
    places = {name: index for index, node in enumerate(made.nodes) for name in node.outputs}
    assert all(places[name] < index for index, node in enumerate(made.nodes) for name in node.inputs if name in places)
    x = samples(graph, 5, seed=1)
    assert np.array_equal(interpret(made, x)[0], interpret(graph, x)[0])


def test_only_one_step_is_alive_at_a_time():
    short, long = (generate(recurrent_graph("lstm", length=length), FAMILIES["dsp"]) for length in (10, 30))
    each = 3  # bytes of one step's input
    assert long.plan.arena_bytes - short.plan.arena_bytes <= 20 * each + 64


def test_a_projection_that_others_read_stays_whole():
    graph = recurrent_graph("lstm", length=5)
    whole = next(node for node in graph.nodes if isinstance(node.op, Dense) and node.name.endswith("/projection"))
    assert with_late_rows(with_nodes(graph, graph.nodes, outputs=(*graph.outputs, whole.outputs[0]))).nodes == graph.nodes


def test_a_split_of_channels_stays_behind_its_dense():
    graph = recurrent_graph("lstm", length=5)
    made = with_late_rows(graph)
    gates = [node for node in made.nodes if isinstance(node.op, Split) and "gates@" in node.name]
    assert len(gates) == 5
    assert not any("recurrent@" in node.name and node.name.count("@") > 1 for node in made.nodes)
