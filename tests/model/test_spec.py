"""The legality rules: a legal graph passes, and each single fault is found and named."""

from __future__ import annotations

from typing import get_args

import msgspec
import numpy as np
import pytest

from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.model.spec import RULES, UNIT_INTERVAL, problems, verify

replace = msgspec.structs.replace


def q(scale, zero=0):
    return Quantisation(scales=(scale,), zero_points=(zero,))


def float_graph():
    weights = np.ones((2, 3), np.float32)
    tensors = [
        Tensor(name="x", shape=(1, 3)),
        Tensor(name="w", shape=(2, 3)),
        Tensor(name="b", shape=(2,)),
        Tensor(name="y", shape=(1, 2)),
        Tensor(name="p", shape=(1, 2)),
    ]
    return Graph(
        name="g",
        inputs=("x",),
        outputs=("p",),
        tensors={t.name: t for t in tensors},
        constants={"w": weights, "b": np.zeros(2, np.float32)},
        nodes=(
            Node(name="fc", op=ops.Dense(), inputs=("x", "w", "b"), outputs=("y",)),
            Node(name="soft", op=ops.Softmax(), inputs=("y",), outputs=("p",)),
        ),
    )


def integer_graph():
    graph = float_graph()
    scales = (0.25, 0.5)
    changed = {
        "x": replace(graph.tensors["x"], dtype="int8", quantisation=q(0.5, 3)),
        "w": replace(graph.tensors["w"], dtype="int8", quantisation=Quantisation(scales=scales, zero_points=(0, 0), axis=0)),
        "b": replace(
            graph.tensors["b"], dtype="int32", quantisation=Quantisation(scales=(0.125, 0.25), zero_points=(0, 0), axis=0)
        ),
        "y": replace(graph.tensors["y"], dtype="int8", quantisation=q(0.1)),
        "p": replace(graph.tensors["p"], dtype="int8", quantisation=UNIT_INTERVAL),
    }
    constants = {"w": np.ones((2, 3), np.int8), "b": np.zeros(2, np.int32)}
    return replace(graph, tensors=changed, constants=constants)


def with_tensor(graph, name, /, **changes):
    return replace(graph, tensors={**graph.tensors, name: replace(graph.tensors[name], **changes)})


def with_node(graph, index, **changes):
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(graph, nodes=tuple(nodes))


def test_every_operator_has_a_row():
    assert set(RULES) == set(get_args(ops.Operator))


def test_legal_graphs_pass():
    verify(float_graph(), "float")
    verify(integer_graph(), "integer")


def test_a_float_island_is_legal_in_an_integer_graph_only():
    x, f, g, y = (Tensor(name=n, shape=(1, 4)) for n in "xfgy")
    x, y = (replace(t, dtype="int8", quantisation=q(0.1)) for t in (x, y))
    gamma = Tensor(name="gamma", shape=(4,))
    graph = Graph(
        name="island",
        inputs=("x",),
        outputs=("y",),
        tensors={t.name: t for t in (x, f, g, y, gamma)},
        constants={"gamma": np.ones(4, np.float32)},
        nodes=(
            Node(name="dq", op=ops.Dequantise(), inputs=("x",), outputs=("f",)),
            Node(name="norm", op=ops.LayerNorm(), inputs=("f", "gamma", "gamma"), outputs=("g",)),
            Node(name="q", op=ops.Quantise(), inputs=("g",), outputs=("y",)),
        ),
    )
    verify(graph, "integer")
    with pytest.raises(UserError, match="no place in a float graph"):
        verify(graph, "float")
    direct = replace(graph, nodes=(replace(graph.nodes[1], inputs=("x", "gamma", "gamma"), outputs=("y",)),))
    with pytest.raises(UserError, match="no integer form"):
        verify(direct, "integer")


STRUCTURAL = [
    (lambda g: with_node(g, 0, inputs=("z", "w", "b")), "'z' is not defined"),
    (lambda g: with_node(g, 1, outputs=("y",)), "'y' is defined already"),
    (lambda g: with_node(g, 1, name="fc"), "2 nodes are named 'fc'"),
    (lambda g: replace(g, nodes=g.nodes[::-1]), "not defined before"),
    (lambda g: replace(g, outputs=("q",)), "'q' of the graph is defined nowhere"),
    (lambda g: replace(g, outputs=()), "no outputs"),
    (lambda g: replace(g, inputs=("x", "w")), "constant as well"),
    (lambda g: with_tensor(g, "y", shape=(1, 5)), "its tensor says"),
    (lambda g: with_tensor(g, "w", shape=(3, 2)), "constant 'w'"),
    (lambda g: with_tensor(g, "y", name="other"), "calls itself"),
    (lambda g: with_tensor(g, "y", shape=(1, 0)), "empty shape"),
    (lambda g: replace(g, tensors={n: t for n, t in g.tensors.items() if n != "y"}), "no entry"),
    (lambda g: replace(g, constants={**g.constants, "w": np.full((2, 3), np.nan, np.float32)}), "NaN"),
    (lambda g: replace(g, constants={**g.constants, "w": np.full((2, 3), np.inf, np.float32)}), "NaN or infinity"),
    (lambda g: with_node(g, 1, inputs=("y", "x")), "has 2 inputs, takes 1 to 1"),
    (lambda g: replace(g, constants={"b": g.constants["b"]}, inputs=("x", "w")), "'w' must be a constant"),
    (lambda g: with_tensor(g, "y", quantisation=q(0.1)), "takes no quantisation"),
]


@pytest.mark.parametrize(("spoil", "message"), STRUCTURAL)
def test_structural_faults_are_named(spoil, message):
    with pytest.raises(UserError, match=message):
        verify(spoil(float_graph()), "float")


INTEGER = [
    (lambda g: with_tensor(g, "x", quantisation=None), "'x' has no quantisation"),
    (lambda g: with_tensor(g, "x", dtype="uint8"), "'x' is uint8, not int8"),
    (lambda g: with_tensor(g, "x", quantisation=q(0.5, 200)), "lies outside int8"),
    (lambda g: with_tensor(g, "x", quantisation=q(-0.5)), "not a positive"),
    (lambda g: with_tensor(g, "p", quantisation=q(0.1)), "must have scale 0.00390625"),
    (lambda g: with_tensor(g, "b", quantisation=q(0.125)), "scales of input times weights"),
    (lambda g: with_tensor(g, "w", quantisation=Quantisation(scales=(0.1, 0.1), zero_points=(0, 1), axis=0)), "other than 0"),
    (
        lambda g: with_tensor(g, "w", quantisation=Quantisation(scales=(0.1,) * 3, zero_points=(0,) * 3, axis=1)),
        "axis 1, not 0",
    ),
    (lambda g: with_tensor(g, "w", quantisation=Quantisation(scales=(0.1, 0.1), zero_points=(0, 0))), "without an axis"),
]


@pytest.mark.parametrize(("spoil", "message"), INTEGER)
def test_integer_faults_are_named(spoil, message):
    with pytest.raises(UserError, match=message):
        verify(spoil(integer_graph()), "integer")


def test_operators_that_move_data_keep_the_scale():
    x = Tensor(name="x", shape=(1, 4), dtype="int8", quantisation=q(0.1))
    y = Tensor(name="y", shape=(4, 1), dtype="int8", quantisation=q(0.2))
    node = Node(name="turn", op=ops.Transpose(permutation=(1, 0)), inputs=("x",), outputs=("y",))
    graph = Graph(name="g", inputs=("x",), outputs=("y",), tensors={"x": x, "y": y}, constants={}, nodes=(node,))
    with pytest.raises(UserError, match="share one scale"):
        verify(graph, "integer")
    verify(with_tensor(graph, "y", quantisation=q(0.1)), "integer")


def test_an_integer_graph_is_not_float():
    with pytest.raises(UserError, match="not float32"):
        verify(integer_graph(), "float")


def test_all_problems_come_at_once_and_at_most_twenty_are_shown():
    graph = float_graph()
    lost = tuple(Node(name=f"n{i}", op=ops.Relu(), inputs=(f"lost{i}",), outputs=(f"o{i}",)) for i in range(30))
    with pytest.raises(UserError) as caught:
        verify(replace(graph, nodes=graph.nodes + lost), "float")
    assert caught.value.hint.count("\n") == 20
    assert caught.value.hint.endswith("and more")
    assert len(list(problems(with_node(with_tensor(graph, "y", shape=(1, 5)), 1, name="fc"), "float"))) >= 2
