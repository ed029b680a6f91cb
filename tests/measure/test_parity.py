"""Parity: what differs is counted, and integers are compared as integers whatever they travel in."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.core.operators import Relu
from marram.core.program import Program
from marram.measure.parity import against_reference, compare
from marram.runtime.backends import runner

STEP = Quantisation(scales=(0.5,), zero_points=(-3,))


def named(reference, outputs, vectors=None):
    vectors = [np.zeros((len(reference[0]), 1))] if vectors is None else vectors
    return compare(reference, outputs, vectors=vectors, runtime="ours", reference_name="truth")


def test_integers_by_hand():
    a, b = np.array([[1, 2], [3, -128]], np.int8), np.array([[1, 4], [3, 127]], np.int8)
    found = named([a, a], [b, a])
    assert (found.elements, found.differing, found.largest, found.vectors) == (8, 2, 255.0, 2)
    same = named([a], [a.copy()])
    assert (same.differing, same.largest) == (0, 0.0)
    assert same.outputs_digest == named([b], [a]).outputs_digest != found.outputs_digest


def test_floats_by_hand():
    a, b = np.array([[1.0, np.nan, np.inf]], np.float32), np.array([[1.25, np.nan, np.inf]], np.float32)
    assert (named([a], [b]).differing, named([a], [b]).largest) == (1, 0.25)
    assert named([a], [np.array([[1.0, 0.0, np.inf]], np.float32)]).largest == np.inf


@pytest.mark.parametrize(
    ("reference", "outputs", "vectors"),
    [
        ([np.zeros((2, 2))], [np.zeros((2, 3))], None),
        ([np.zeros(2, np.int8)], [np.zeros(2, np.uint8)], None),
        ([np.zeros(2)], [], None),
        ([np.zeros((0, 2))], [np.zeros((0, 2))], [np.zeros((0, 1))]),
        ([np.zeros(2)], [np.zeros(2)], []),
    ],
)
def test_what_cannot_be_compared(reference, outputs, vectors):
    with pytest.raises(UserError, match="cannot be compared"):
        named(reference, outputs, vectors)


def test_a_real_runtime_against_the_reference(program, graph):
    vectors = np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32)
    session = runner("onnxruntime").open(program)
    targets = vectors[:, :3].argmax(axis=1)
    found = against_reference(session, program, graph, [vectors], targets=targets)
    assert (found.vectors, found.elements, found.metric_change) == (20, 60, 0.0)
    assert found.largest < 1e-6
    assert found.reference == "float reference"
    assert against_reference(session, program, graph, [vectors], targets=np.full(20, -1)).metric_change is None


def relu_graph():
    x = Tensor(name="x", shape=(1, 4), dtype="int8", quantisation=STEP)
    y = replace(x, name="y")
    node = Node(name="relu", op=Relu(), inputs=("x",), outputs=("y",))
    return Graph(name="relu", inputs=("x",), outputs=("y",), tensors={"x": x, "y": y}, constants={}, nodes=(node,))


class Rectifier:
    """Relu as a runtime would do it that keeps tensors in another dtype; wrong for one input if asked."""

    def __init__(self, zero, dtype, fault=0):
        self.zero, self.dtype, self.fault = zero, dtype, fault

    def run(self, inputs):
        (x,) = inputs
        assert x.dtype == self.dtype
        assert x.shape == (1, 4)
        return (np.maximum(x, self.dtype.type(self.zero)) + self.dtype.type(self.fault),)

    def close(self):
        pass


@pytest.mark.parametrize(
    ("dtype", "zero", "quantisation", "fault"),
    [
        ("int8", -3, STEP, 1),
        ("uint8", 125, Quantisation(scales=(0.5,), zero_points=(125,)), 1),
        ("float32", 0, None, 0.5),
    ],
)
def test_integers_in_any_costume(dtype, zero, quantisation, fault):
    graph = relu_graph()
    x, y = (Tensor(name=name, shape=(1, 4), dtype=dtype, quantisation=quantisation) for name in "xy")
    program = Program(
        target="host", runtime="onnxruntime", runtime_version="0", format="onnx", precision="int8", blob=b"", inputs=(x,),
        outputs=(y,), graph_digest=None,
    )  # fmt: skip
    vectors = np.arange(-100, 100, dtype=np.int8).reshape(50, 4)
    exact = against_reference(Rectifier(zero, np.dtype(dtype)), program, graph, [vectors])
    assert (exact.differing, exact.elements, exact.reference) == (0, 200, "integer reference")
    off = against_reference(Rectifier(zero, np.dtype(dtype), fault), program, graph, [vectors])
    assert (off.differing, off.largest) == (200, 1.0)


def test_a_program_of_another_graph(program, graph):
    with pytest.raises(UserError, match="not those of the graph"):
        against_reference(None, replace(program, outputs=()), graph, [np.zeros((1, 4), np.float32)])
    odd = replace(program, inputs=(Tensor(name="x", shape=(1, 4), dtype="int64"),))
    with pytest.raises(UserError, match="cannot stand for"):
        against_reference(None, odd, graph, [np.zeros((1, 4), np.float32)])
