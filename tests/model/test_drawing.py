"""The drawing: well-formed XML, every node in its own place, hostile names escaped."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor
from marram.model.drawing import draw
from marram.model.placement import place
from marram.model.shapes import infer

SVG = "{http://www.w3.org/2000/svg}"


def branching(edges):
    """Node ``i`` adds two earlier tensors."""
    nodes = tuple(
        Node(name=f"n{i}", op=ops.Add(), inputs=(f"t{a}", f"t{b}"), outputs=(f"t{i + 1}",)) for i, (a, b) in enumerate(edges)
    )
    x = Tensor(name="t0", shape=(1, 2))
    return infer(Graph(name="g", inputs=("t0",), outputs=(f"t{len(edges)}",), tensors={"t0": x}, constants={}, nodes=nodes))


@st.composite
def edge_lists(draw):
    count = draw(st.integers(1, 14))
    return [(draw(st.integers(0, i)), draw(st.integers(0, i))) for i in range(count)]


@settings(derandomize=True, max_examples=80, deadline=None)
@given(edge_lists())
def test_no_two_boxes_overlap_and_edges_run_downwards(edges):
    graph = branching(edges)
    placed = place(graph, box=100, lane=20)
    assert set(placed.places) == {"in:t0", f"out:t{len(edges)}", *map(str, range(len(edges)))}
    for a, b in combinations(placed.places.values(), 2):
        assert a.layer != b.layer or abs(a.x - b.x) >= 100 - 1e-6
    assert all(50 - 1e-6 <= p.x <= placed.width - 50 + 1e-6 for p in placed.places.values())
    for _tensor, points in placed.edges:
        assert [p.layer for p in points] == list(range(points[0].layer, points[-1].layer + 1))
    ET.fromstring(draw(graph))


def test_every_node_is_drawn_with_its_details():
    tree = ET.fromstring(draw(branching([(0, 0), (1, 0), (2, 0)])))
    boxes = list(tree.iter(f"{SVG}g"))
    assert len(boxes) == 5
    titles = [g.find(f"{SVG}title").text for g in boxes]
    assert any(title.startswith("n2: add") and "bytes live" in title for title in titles)
    assert len(list(tree.iter(f"{SVG}path"))) == 6


@pytest.mark.parametrize("name", ['<script>alert("1")</script>', "a&b", "nul\x00\x1b", "\ud800", "x" * 5000])
def test_hostile_names_stay_text(name):
    x = Tensor(name=name, shape=(1, 2))
    node = Node(name=name, op=ops.Relu(), inputs=(name,), outputs=("y",))
    graph = infer(Graph(name=name, inputs=(name,), outputs=("y",), tensors={name: x}, constants={}, nodes=(node,)))
    text = draw(graph)
    tree = ET.fromstring(text.encode())
    assert not list(tree.iter(f"{SVG}script"))
    assert not re.search(r"(href|src|on\w+)=", text)
