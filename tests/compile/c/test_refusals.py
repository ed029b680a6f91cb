"""What no C is made of: the operator, the family that lacks it and the one that has it, the channel that overflows."""

from __future__ import annotations

import numpy as np
import pytest
from tests.model.graphs import affine

from marram.compile.c.families import FAMILIES, Family
from marram.compile.c.generation import generate
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor

PORTABLE = FAMILIES["portable"]


def dense(weights: np.ndarray, *, zero_point: int, factor: float, bias: int = 0) -> Graph:
    """One fully connected layer whose accumulators are multiplied by ``factor``."""
    outputs, depth = weights.shape
    one = Quantisation(scales=(1.0,), zero_points=(0,))
    tensors = {
        "x": Tensor(name="x", shape=(1, depth), dtype="int8", quantisation=affine(1.0, zero_point)),
        "w": Tensor(name="w", shape=(outputs, depth), dtype="int8", quantisation=one),
        "b": Tensor(name="b", shape=(outputs,), dtype="int32", quantisation=one),
        "y": Tensor(name="y", shape=(1, outputs), dtype="int8", quantisation=affine(1 / factor)),
    }
    node = Node(name="d", op=ops.Dense(), inputs=("x", "w", "b"), outputs=("y",))
    constants = {"w": weights.astype(np.int8), "b": np.full(outputs, bias, np.int32)}
    return Graph(name="g", inputs=("x",), outputs=("y",), tensors=tensors, constants=constants, nodes=(node,))


def resize() -> Graph:
    scale = affine(0.1)
    tensors = {
        name: Tensor(name=name, shape=(1, side, side, 2), dtype="int8", quantisation=scale)
        for name, side in (("x", 4), ("y", 8))
    }
    node = Node(name="grow", op=ops.Resize(size=(8, 8), method="nearest"), inputs=("x",), outputs=("y",))
    return Graph(name="g", inputs=("x",), outputs=("y",), tensors=tensors, constants={}, nodes=(node,))


def test_family_that_has_the_operator_is_named() -> None:
    with pytest.raises(UserError, match="no kernel of family alone serves") as error:
        generate(resize(), Family(name="alone", line=("armv6m",)))
    assert error.value.hint == "armv6m: has no resize; family portable has it"
    assert "node grow (resize)" in str(error.value)


def test_accumulator_beyond_int32_is_found() -> None:
    weights = np.zeros((3, 70_000))
    weights[1] = 127
    with pytest.raises(UserError, match="channel 1 can reach 2275840000, beyond int32"):
        generate(dense(weights, zero_point=-128, factor=1e-6), PORTABLE)


@pytest.mark.parametrize(("factor", "fits"), [(2.0**16, True), (2.0**17, False)])
def test_left_shift_beyond_int32_is_found(factor: float, fits: bool) -> None:
    # At most 127 * 128 = 16,256 below 2**14, shifted left by one more than the factor's logarithm.
    graph = dense(np.full((1, 1), 127), zero_point=0, factor=factor)
    if fits:
        generate(graph, PORTABLE)
        return
    with pytest.raises(UserError, match="shifted left for its multiplier"):
        generate(graph, PORTABLE)


def test_bound_is_that_of_whole_sums() -> None:
    # Folded into the bias, the zero point alone would go beyond what any whole sum reaches.
    graph = dense(np.tile([127, -127], (1, 50)), zero_point=127, factor=2.0**9)
    generate(graph, PORTABLE)


def test_recurrence_says_what_to_do() -> None:
    shapes = {"x": (1, 3, 2), "w": (8, 2), "r": (8, 2), "y": (1, 3, 2), "h": (1, 2), "c": (1, 2)}
    tensors = {name: Tensor(name=name, shape=shape) for name, shape in shapes.items()}
    constants = {name: np.zeros(shapes[name], np.float32) for name in ("w", "r")}
    node = Node(name="lstm", op=ops.Lstm(hidden=2), inputs=("x", "w", "r"), outputs=("y", "h", "c"))
    graph = Graph(name="g", inputs=("x",), outputs=("y",), tensors=tensors, constants=constants, nodes=(node,))
    with pytest.raises(UserError, match=r"node lstm \(lstm\)") as error:
        generate(graph, PORTABLE)
    assert "marram.compress.unroll" in str(error.value)
