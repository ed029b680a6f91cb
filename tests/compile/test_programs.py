"""Programs: the right file for each runtime, described as it is, and clear words where there can be none."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from msgspec.structs import replace
from onnx import TensorProto, helper

from marram.compile import build, candidates, device
from marram.compile.making import installed_version
from marram.core.codec import digest
from marram.core.errors import MissingExtra, ToolError, UnsupportedOperator, UserError
from marram.core.graph import Graph, Node, OpaqueModel, Quantisation, Tensor
from marram.core.operators import Dense
from marram.measure import against_reference
from marram.model.onnx import read_opaque
from marram.runtime import runner

HOST = device("host")
RUNTIMES = ["litert", "onnxruntime", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
RNG = np.random.default_rng(4)


def float_graph() -> Graph:
    rng = np.random.default_rng(1)
    x, y = Tensor(name="x", shape=(1, 6)), Tensor(name="y", shape=(1, 4))
    w, b = Tensor(name="w", shape=(4, 6)), Tensor(name="b", shape=(4,))
    constants = {"w": rng.normal(size=(4, 6)).astype(np.float32), "b": rng.normal(size=4).astype(np.float32)}
    node = Node(name="fc", op=Dense(activation="relu"), inputs=("x", "w", "b"), outputs=("y",))
    return Graph(
        name="net", inputs=("x",), outputs=("y",), tensors={"x": x, "y": y, "w": w, "b": b}, constants=constants, nodes=(node,)
    )


def int8_graph() -> Graph:
    rng = np.random.default_rng(2)
    step = Quantisation(scales=(0.05,), zero_points=(3,))
    x = Tensor(name="x", shape=(1, 6), dtype="int8", quantisation=step)
    y = Tensor(name="y", shape=(1, 4), dtype="int8", quantisation=Quantisation(scales=(0.2,), zero_points=(-20,)))
    by_row = Quantisation(scales=(0.02, 0.03, 0.04, 0.05), zero_points=(0,) * 4, axis=0)
    w = Tensor(name="w", shape=(4, 6), dtype="int8", quantisation=by_row)
    bias_scales = tuple(float(np.float32(0.05) * np.float32(scale)) for scale in by_row.scales)
    b = Tensor(name="b", shape=(4,), dtype="int32", quantisation=Quantisation(scales=bias_scales, zero_points=(0,) * 4, axis=0))
    constants = {"w": rng.integers(-127, 128, (4, 6), dtype=np.int8), "b": rng.integers(-500, 500, 4, dtype=np.int32)}
    node = Node(name="fc", op=Dense(), inputs=("x", "w", "b"), outputs=("y",))
    return Graph(
        name="net", inputs=("x",), outputs=("y",), tensors={"x": x, "y": y, "w": w, "b": b}, constants=constants, nodes=(node,)
    )


def opaque_onnx(*, hidden: int = 8) -> OpaqueModel:
    """A two-layer net with an operator that the Graph does not have, and a free batch axis."""
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((6, hidden), (hidden, 4))]
    constants = [helper.make_tensor(f"w{i}", TensorProto.FLOAT, w.shape, w.tobytes(), raw=True) for i, w in enumerate(weights)]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["h"]),
        helper.make_node("Det", ["square"], ["d"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w1"], ["s"]),
        helper.make_node("Mul", ["s", "d"], ["y"]),
    ]
    constants.append(helper.make_tensor("square", TensorProto.FLOAT, [2, 2], [2.0, 0.0, 0.0, 1.0]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    model = helper.make_model(
        helper.make_graph(nodes, "odd", [x], [y], constants), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    return read_opaque(model.SerializeToString(), name="odd")


@pytest.mark.parametrize("graph", [float_graph(), int8_graph()], ids=["float", "int8"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_graph_becomes_a_program_that_agrees_with_the_reference(graph, runtime):
    program = build(graph, HOST, runtime=runtime)
    integer = graph.tensors["x"].dtype == "int8"
    assert (program.runtime, program.target) == (runtime, "host")
    assert program.runtime_version == installed_version(runtime if runtime != "litert" else "ai-edge-litert")
    assert program.precision == ("int8" if integer else "float32")
    assert program.quantised_by == ("marram" if integer else None)
    assert program.graph_digest == digest(graph)
    assert build(graph, HOST, runtime=runtime) == program
    vectors = (RNG.integers(-128, 128, (40, 6)) if integer else RNG.normal(size=(40, 6))).astype(graph.tensors["x"].dtype)
    session = runner(runtime).open(program)
    parity = against_reference(session, program, graph, [vectors])
    assert parity.largest <= (1 if integer else 1e-5)
    if integer:
        assert parity.differing <= 0.05 * parity.elements
        assert (program.inputs[0].quantisation, program.outputs[0].quantisation) != (None, None)


def test_candidates_are_all_that_this_machine_has_in_order():
    programs = candidates(float_graph(), HOST)
    assert [program.runtime for program in programs] == RUNTIMES
    assert build(float_graph(), HOST).runtime == "litert"
    assert [program.runtime for program in candidates(float_graph(), device("android-arm64"))] == ["litert", "onnxruntime"]


def test_no_runtime_installed(monkeypatch):
    monkeypatch.setattr("marram.compile.programs.find_spec", lambda name: None)
    with pytest.raises(UserError, match="none of the runtimes"):
        candidates(float_graph(), HOST)


def test_the_precision_is_the_graph_s():
    assert build(int8_graph(), HOST, precision="int8").precision == "int8"
    with pytest.raises(UserError, match=r"marram\.compress\.quantise"):
        build(float_graph(), HOST, precision="int8")
    with pytest.raises(UserError, match="not in float32"):
        candidates(int8_graph(), HOST, precision="float32")


def test_a_runtime_that_the_target_does_not_take():
    with pytest.raises(UserError, match="It takes: litert, onnxruntime"):
        build(float_graph(), device("android-arm64"), runtime="openvino")


def test_microcontrollers_take_c():
    program = build(int8_graph(), device("cortex-m4"))
    assert (program.runtime, program.format, program.precision) == ("c", "c", "int8")
    assert program.inputs[0].dtype == "int8"
    with pytest.raises(UserError, match="computes in float32"):
        build(float_graph(), device("cortex-m4"))


def test_opaque_models_do_not_become_c():
    with pytest.raises(UnsupportedOperator, match="operator Det") as caught:
        build(opaque_onnx(), device("cortex-m4"))
    assert caught.value.operator == "Det"


def test_an_opaque_model_is_carried_as_it_came():
    model = opaque_onnx()
    assert "Det" in model.unsupported
    program = build(model, HOST)
    assert program.runtime == "onnxruntime"
    assert (program.blob, program.graph_digest, program.quantised_by) == (model.blob, None, None)
    assert program.inputs[0].shape == (1, 6)
    (y,) = runner("onnxruntime").open(program).run([np.zeros((1, 6), np.float32)])
    np.testing.assert_array_equal(y, np.zeros((1, 4)))
    with pytest.raises(UserError, match=r"takes it in no runtime"):
        build(model, HOST, runtime="litert")


def test_an_opaque_model_is_quantised_by_the_runtime_s_own_tool():
    model = opaque_onnx(hidden=64)
    samples = RNG.normal(size=(64, 6)).astype(np.float32)
    program = build(model, HOST, precision="int8", calibration=[samples])
    assert program.precision == "int8"
    assert program.quantised_by == f"onnxruntime quantize_static {installed_version('onnxruntime')}"
    assert b"QuantizeLinear" in program.blob
    exact, rounded = runner("onnxruntime").open(build(model, HOST)), runner("onnxruntime").open(program)
    gaps = [np.abs(exact.run([row[None]])[0] - rounded.run([row[None]])[0]).max() for row in samples]
    spread = np.abs(np.concatenate([exact.run([row[None]])[0] for row in samples])).max()
    assert 0 < max(gaps) < 0.05 * spread


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "none were given"),
        ([], "none were given"),
        ([np.zeros((0, 6), np.float32)], "none were given"),
        ([np.zeros((2, 6), np.float32)] * 2, "1 inputs"),
        ([np.zeros((2, 5), np.float32)], r"\[5\] where float32\[6\]"),
        ([np.zeros((2, 6), np.float64)], "float64"),
    ],
)
def test_calibration_that_does_not_fit(calibration, message):
    with pytest.raises(UserError, match=message):
        build(opaque_onnx(), HOST, precision="int8", calibration=calibration)


def test_a_model_that_the_tool_cannot_take():
    broken = replace(opaque_onnx(), blob=b"\x08\x08")
    with pytest.raises(ToolError, match="could not be quantised"):
        build(broken, HOST, precision="int8", calibration=[np.zeros((2, 6), np.float32)])


def test_a_shape_that_is_not_known():
    model = opaque_onnx()
    with pytest.raises(UserError, match="not known before the model runs"):
        build(replace(model, inputs=(replace(model.inputs[0], shape=(1, 0)),)), HOST)


def opaque_tflite(*, quantised: bool) -> OpaqueModel:
    from marram.model.tflite import read_opaque as read_tflite
    from marram.model.tflite import write

    return read_tflite(write(int8_graph() if quantised else float_graph()), name="net")


def test_an_opaque_tflite_model():
    program = build(opaque_tflite(quantised=False), HOST)
    assert (program.runtime, program.precision) == ("litert", "float32")
    integer = build(opaque_tflite(quantised=True), HOST)
    assert (integer.precision, integer.quantised_by) == ("int8", "the file's maker")
    assert build(opaque_tflite(quantised=True), HOST, precision="int8") == integer


def test_ai_edge_quantizer_is_named_where_it_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(MissingExtra, match="ai-edge-quantizer"):
        build(opaque_tflite(quantised=False), HOST, precision="int8", calibration=[np.zeros((2, 6), np.float32)])
