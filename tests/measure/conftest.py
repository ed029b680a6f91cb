"""A dataset, a model as ONNX file and as Graph, and Programs of it, small enough to know by heart."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from marram.core.codec import digest
from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import Dense
from marram.core.program import Program
from marram.data.dataset import ArraySamples, Dataset

WEIGHTS = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32)  # class = largest of the first three values


def linear_onnx(weights=WEIGHTS) -> bytes:
    """y = x @ weights.T as an ONNX file."""
    classes, features = weights.shape
    constant = helper.make_tensor("w", TensorProto.FLOAT, [features, classes], weights.T.tobytes(), raw=True)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, features])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, classes])
    graph = helper.make_graph([node], "linear", [x], [y], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def linear_graph(weights=WEIGHTS) -> Graph:
    classes, features = weights.shape
    x, y = Tensor(name="x", shape=(1, features)), Tensor(name="y", shape=(1, classes))
    w = Tensor(name="w", shape=weights.shape)
    node = Node(name="fc", op=Dense(), inputs=("x", "w", ""), outputs=("y",))
    return Graph(
        name="linear", inputs=("x",), outputs=("y",), tensors={"x": x, "w": w, "y": y}, constants={"w": weights}, nodes=(node,)
    )


@pytest.fixture(scope="session")
def graph() -> Graph:
    return linear_graph()


@pytest.fixture(scope="session")
def program(graph) -> Program:
    return Program(
        target="host",
        runtime="onnxruntime",
        runtime_version="test",
        format="onnx",
        precision="float32",
        blob=linear_onnx(),
        inputs=graph.input_tensors,
        outputs=graph.output_tensors,
        graph_digest=digest(graph),
    )


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """120 samples whose class is the largest of three values, less 12 that are labelled wrongly."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(120, 4)).astype(np.float32)
    targets = values[:, :3].argmax(axis=1)
    targets[:12] = (targets[:12] + 1) % 3
    return Dataset(ArraySamples(values), targets=targets, labels=("a", "b", "c"))
