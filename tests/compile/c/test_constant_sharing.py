"""Equal constants stand in flash once, and are counted once."""

from __future__ import annotations

from tests.model.graphs import affine

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import Sigmoid


def two_sigmoids(scales: tuple[float, float]) -> Generated:
    tensors = {}
    for index, scale in enumerate(scales):
        tensors[f"x{index}"] = Tensor(name=f"x{index}", shape=(1, 5), dtype="int8", quantisation=affine(scale))
        tensors[f"y{index}"] = Tensor(name=f"y{index}", shape=(1, 5), dtype="int8", quantisation=affine(1 / 256, -128))
    nodes = tuple(Node(name=f"s{i}", op=Sigmoid(), inputs=(f"x{i}",), outputs=(f"y{i}",)) for i in range(2))
    graph = Graph(name="two", inputs=("x0", "x1"), outputs=("y0", "y1"), tensors=tensors, constants={}, nodes=nodes)
    return generate(graph, FAMILIES["portable"], name="two")


def test_equal_tables_are_one() -> None:
    made = two_sigmoids((0.1, 0.1))
    assert made.files["two.c"].count("[256] = {") == 1
    assert [layer.table_bytes for layer in made.layers] == [256, 0]


def test_other_tables_are_two() -> None:
    made = two_sigmoids((0.1, 0.2))
    assert made.files["two.c"].count("[256] = {") == 2
    assert [layer.table_bytes for layer in made.layers] == [256, 256]
