"""How a Program's interface follows from the file that was written and the Graph that it was written from."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from marram.compile import device
from marram.compile.for_onnxruntime import MAKER
from marram.compile.making import from_graph, graph_precision, installed_version
from marram.core.errors import InternalError
from marram.core.graph import Graph, Node, OpaqueModel, Quantisation, Tensor
from marram.core.operators import Dense, Relu

STEP = Quantisation(scales=(0.5,), zero_points=(-3,))


def relu(dtype="int8", quantisation=STEP) -> Graph:
    tensors = {name: Tensor(name=name, shape=(1, 4), dtype=dtype, quantisation=quantisation) for name in "xy"}
    node = Node(name="relu", op=Relu(), inputs=("x",), outputs=("y",))
    return Graph(name="relu", inputs=("x",), outputs=("y",), tensors=tensors, constants={}, nodes=(node,))


def written(dtype, quantisation=None) -> OpaqueModel:
    """A file whose batch axis is open and whose tensors are called otherwise."""
    inputs, outputs = (
        (Tensor(name=name, shape=(-1, 4), dtype=dtype, quantisation=quantisation),) for name in ("input", "output")
    )
    return OpaqueModel(name="relu", format="onnx", blob=b"", inputs=inputs, outputs=outputs, unsupported=())


@pytest.mark.parametrize(
    ("dtype", "in_file", "expected"),
    [
        ("int8", None, STEP),
        ("int8", Quantisation(scales=(0.25,), zero_points=(1,)), Quantisation(scales=(0.25,), zero_points=(1,))),
        ("uint8", None, Quantisation(scales=(0.5,), zero_points=(125,))),
        ("float32", None, None),
    ],
)
def test_names_shapes_and_dtypes_are_the_file_s_and_scales_the_graph_s(dtype, in_file, expected):
    program = from_graph(relu(), device("host"), maker=MAKER, written=written(dtype, in_file))
    assert program.inputs == (Tensor(name="input", shape=(1, 4), dtype=dtype, quantisation=expected),)
    assert program.outputs == (Tensor(name="output", shape=(1, 4), dtype=dtype, quantisation=expected),)
    assert (program.precision, program.quantised_by) == ("int8", "marram")


def test_a_writer_that_loses_an_output_is_a_bug_of_ours():
    with pytest.raises(InternalError, match="0 inputs or outputs in place of 1"):
        from_graph(relu(), device("host"), maker=MAKER, written=replace(written("int8"), outputs=()))


def test_precision_is_that_of_the_activations():
    assert graph_precision(relu()) == "int8"
    assert graph_precision(relu("float32", None)) == "float32"
    x, y = Tensor(name="x", shape=(1, 2)), Tensor(name="y", shape=(1, 2))
    weights = Tensor(name="w", shape=(2, 2), dtype="int8", quantisation=STEP)
    node = Node(name="fc", op=Dense(), inputs=("x", "w", ""), outputs=("y",))
    tensors, constants = {"x": x, "y": y, "w": weights}, {"w": np.zeros((2, 2), np.int8)}
    only_weights = Graph(name="w8", inputs=("x",), outputs=("y",), tensors=tensors, constants=constants, nodes=(node,))
    assert graph_precision(only_weights) == "float32"


def test_versions():
    assert installed_version("numpy") == np.__version__
    assert installed_version("there-is-no-such-package") == "not installed here"
