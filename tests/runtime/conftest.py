"""Small Programs of each runtime, and a sealed bundle of one that runs."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from marram.bundle import FileSigner, new_key, seal
from marram.bundle import open as open_bundle
from marram.core.codec import digest
from marram.core.evidence import Evidence
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.core.manifest import Bundle, Golden
from marram.core.operators import Dense
from marram.core.program import Program
from marram.model.tflite import write
from marram.runtime import golden_outputs, runner
from marram.sense import ImagePreprocess
from marram.sense.feeding import feed

IMAGE = ImagePreprocess(size=(1, 4), channels=1, mean=(0.5,), std=(0.25,))
WEIGHTS = np.array([[2, -1, 0, 0], [0, 2, -1, 0], [0, 0, 2, -1]], np.int8)


def onnx_program(runtime: str = "onnxruntime") -> Program:
    """y = x @ w with a free batch axis, as exporters write it."""
    weights = np.arange(6, dtype=np.float32).reshape(2, 3) / 10
    constant = helper.make_tensor("w", TensorProto.FLOAT, [2, 3], weights.tobytes(), raw=True)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph([node], "linear", [x], [y], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return Program(
        target="host",
        runtime=runtime,
        runtime_version="test",
        format="onnx",
        precision="float32",
        blob=model.SerializeToString(),
        inputs=(Tensor(name="x", shape=(1, 2)),),
        outputs=(Tensor(name="y", shape=(1, 3)),),
        graph_digest=None,
    )


def int8_graph() -> Graph:
    """Three scores from four pixels, in integers."""
    step = Quantisation(scales=(float(np.float32(1 / (255 * 0.25))),), zero_points=(0,))
    x = Tensor(name="x", shape=(1, 4), dtype="int8", quantisation=step)
    y = Tensor(name="y", shape=(1, 3), dtype="int8", quantisation=Quantisation(scales=(0.05,), zero_points=(-10,)))
    w = Tensor(name="w", shape=(3, 4), dtype="int8", quantisation=Quantisation(scales=(0.5,) * 3, zero_points=(0,) * 3, axis=0))
    node = Node(name="fc", op=Dense(), inputs=("x", "w", ""), outputs=("y",))
    return Graph(
        name="pixels", inputs=("x",), outputs=("y",), tensors={"x": x, "w": w, "y": y}, constants={"w": WEIGHTS}, nodes=(node,)
    )


def litert_program() -> Program:
    graph = int8_graph()
    return Program(
        target="host",
        runtime="litert",
        runtime_version="test",
        format="tflite",
        precision="int8",
        blob=write(graph),
        inputs=graph.input_tensors,
        outputs=graph.output_tensors,
        graph_digest=digest(graph),
        quantised_by="marram",
    )


def sealed_bundle(folder, program: Program, *, samples: np.ndarray, preprocess, labels=(), **changes) -> Bundle:
    """Sealed with golden vectors as the program answers them here, and opened again."""
    inputs = (feed(preprocess, samples, program.inputs[0]),)
    session = runner(program.runtime).open(program)
    golden = Golden(inputs=inputs, outputs=golden_outputs(session, program, Golden(inputs=inputs, outputs=())), samples=samples)
    session.close()
    if not (folder / "key").exists():
        new_key(folder / "key")
    signer = FileSigner(folder / "key")
    arguments = {
        "name": "pixels",
        "version": "1.0.0",
        "golden": golden,
        "evidence": Evidence(program_digest=digest(program), data_digest="sha256:00", on="test", figures=()),
        "contract": "",
        "licence": "Apache-2.0",
        "created_by": "test",
        "labels": labels,
        "preprocess": preprocess,
    }
    return open_bundle(seal(program, signers=(signer,), **(arguments | changes)), (signer.public_key,))


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (6, 1, 4, 1), dtype=np.uint8)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, pixels) -> Bundle:
    return sealed_bundle(
        tmp_path_factory.mktemp("bundle"), litert_program(), samples=pixels, preprocess=IMAGE, labels=("a", "b", "c")
    )
