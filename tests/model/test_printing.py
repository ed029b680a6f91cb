"""The table of a Graph: every node in its line, columns aligned, figures of counts."""

from __future__ import annotations

import numpy as np

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.model.printing import attributes_text, describe, tensor_text
from marram.model.shapes import infer


def net():
    x = Tensor(name="x", shape=(1, 8, 8, 3))
    nodes = (
        Node(name="first", op=ops.Conv2D(stride=(2, 2), activation="relu"), inputs=("x", "w", ""), outputs=("a",)),
        Node(name="gather everything", op=ops.Mean(axes=(1, 2)), inputs=("a",), outputs=("y",)),
    )
    constants = {"w": np.zeros((4, 3, 3, 3), np.float32)}
    return infer(Graph(name="g", inputs=("x",), outputs=("y",), tensors={"x": x}, constants=constants, nodes=nodes))


def test_each_node_has_a_line_and_columns_align():
    head, entry, first, second, total = describe(net()).splitlines()
    assert head.split() == ["node", "operator", "output", "params", "MACs"]
    assert entry.split()[:2] == ["x", "input"]
    assert "conv2d stride=2x2 activation=relu" in first
    assert first.endswith("972")
    assert head.index("operator") == first.index("conv2d") == second.index("mean")
    assert len(head) == len(first)
    assert total == "g: 972 MACs, 108 parameters in 432 bytes, largest live set 912 bytes"


def test_a_graph_without_nodes_has_a_table():
    x = Tensor(name="x", shape=(1, 2))
    table = describe(Graph(name="g", inputs=("x",), outputs=("x",), tensors={"x": x}, constants={}, nodes=()))
    assert "1x2 float32" in table


def test_attributes_show_what_differs_from_the_default():
    assert not attributes_text(ops.Conv2D())
    assert attributes_text(ops.Pad(paddings=((0, 0), (1, 2)), value=0.5)) == "paddings=(0, 0)x(1, 2) value=0.5"
    assert attributes_text(ops.Concat(axis=3)) == "axis=3"


def test_quantised_tensors_show_how_to_read_them():
    quantised = Quantisation(scales=(0.5,), zero_points=(-128,))
    assert tensor_text(Tensor(name="t", shape=(1, 2), dtype="int8", quantisation=quantised)) == "1x2 int8 0.5*(q+128)"
    many = Quantisation(scales=(0.5, 1.0), zero_points=(0, 0), axis=0)
    assert tensor_text(Tensor(name="t", shape=(2, 3), dtype="int8", quantisation=many)) == "2x3 int8 2 scales"
    assert tensor_text(Tensor(name="t", shape=())) == "scalar float32"
