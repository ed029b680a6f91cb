"""Files with weights of 4 bits: half the bytes, read back without a difference, run by runtimes as the reference says."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compress.conftest import Sketch, samples_of

from marram.compress import fold, quantise
from marram.core import operators as ops
from marram.core.errors import ModelFileError, UserError
from marram.model import load, save
from marram.model.four_bits import packed
from marram.model.onnx import read as read_onnx
from marram.model.onnx import write as write_onnx
from marram.model.reference import interpret
from marram.model.tflite import read as read_tflite
from marram.model.tflite import write as write_tflite
from marram.model.tflite.contents import FileTensor, unpack

LAYERS = ("conv2d0", "depthwise_conv2d1", "conv2d2", "dense4")


def network(bits=4, layers=LAYERS):
    sketch = Sketch(1)
    x = sketch.input(1, 6, 6, 3)
    y = sketch(ops.Conv2D(padding=(1, 1, 1, 1), activation="relu"), x, sketch.normal(5, 3, 3, 3), sketch.normal(5))
    y = sketch(ops.DepthwiseConv2D(padding=(1, 1, 1, 1)), y, sketch.normal(1, 3, 3, 5), sketch.normal(5))
    y = sketch(ops.Conv2D(activation="relu"), y, sketch.normal(7, 1, 1, 5), sketch.normal(7))
    y = sketch(ops.Reshape(shape=(1, 252)), y)
    graph = fold(sketch.graph(sketch(ops.Dense(), y, sketch.normal(3, 252, scale=0.2), sketch.normal(3))))
    return quantise(graph, samples_of(graph, 40)["x0"], weight_bits=dict.fromkeys(layers, bits))


def weights_by_shape(graph):
    nodes = [node for node in graph.nodes if isinstance(node.op, ops.Conv2D | ops.DepthwiseConv2D | ops.Dense)]
    return [graph.constants[node.inputs[1]] for node in nodes]


def inputs_of(graph, count=4):
    shape = (count, *graph.input_tensors[0].shape[1:])
    return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(-8, 7), max_size=9))
def test_halves_are_what_they_were(values):
    array = np.array(values, np.int8)
    tensor = FileTensor(name="w", shape=array.shape, dtype="int4", data=packed(array))
    np.testing.assert_array_equal(unpack(tensor), array)
    assert packed(array).size == -(-len(values) // 2)


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize(("write", "read"), [(write_tflite, read_tflite), (write_onnx, read_onnx)], ids=["tflite", "onnx"])
def test_what_was_packed_is_read_back(write, read, bits):
    graph = network(bits)
    data, whole = write(graph, pack=True), write(graph)
    assert data == write(graph, pack=True)
    saved = sum(value.size // 2 for value in weights_by_shape(graph))
    assert len(data) < len(whole) - saved + 200
    again, unpacked = read(data), read(whole)
    for one, other, own in zip(*map(weights_by_shape, (again, unpacked, graph)), strict=True):
        assert one.dtype == np.int8
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, own)
    x = inputs_of(graph)
    np.testing.assert_array_equal(interpret(again, x)[0], interpret(graph, x)[0])


def test_litert_computes_what_the_reference_says():
    from ai_edge_litert.interpreter import Interpreter

    graph = network()
    runner = Interpreter(model_content=write_tflite(graph, pack=True), num_threads=1).get_signature_runner("serving_default")
    for one in inputs_of(graph):
        given = runner(**{graph.inputs[0]: one[None]})[graph.outputs[0]]
        assert np.abs(given.astype(int) - interpret(graph, one[None])[0]).max() <= 2


def test_tflm_computes_convolutions_to_the_byte():
    from tflite_micro import runtime

    graph = network(layers=LAYERS[:3])
    interpreter = runtime.Interpreter.from_bytes(write_tflite(graph, pack=True))
    for one in inputs_of(graph):
        interpreter.set_input(one[None], 0)
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_output(0), interpret(graph, one[None])[0])


def test_onnx_runtime_gives_the_same_as_with_whole_bytes():
    import onnxruntime

    graph = network()
    data = write_onnx(graph, pack=True)
    onnx.checker.check_model(onnx.load_from_string(data))
    x = inputs_of(graph, 1)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    results = []
    for blob in (data, write_onnx(graph)):
        session = onnxruntime.InferenceSession(blob, options, providers=["CPUExecutionProvider"])
        results.append(session.run(None, {graph.inputs[0]: x})[0])
    np.testing.assert_array_equal(*results)
    assert np.abs(results[0].astype(int) - interpret(graph, x)[0]).max() <= 1


def test_only_layers_that_fit_are_packed():
    graph = network(layers=("conv2d2",))
    model = onnx.load_from_string(write_onnx(graph, pack=True))
    assert {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) > 1} == {3, 22}
    assert [entry.version for entry in model.opset_import] == [21]
    np.testing.assert_array_equal(weights_by_shape(read_tflite(write_tflite(graph, pack=True)))[0], weights_by_shape(graph)[0])


def test_files_are_saved_packed_when_asked(tmp_path):
    graph = network()
    for suffix in (".tflite", ".onnx"):
        whole, half = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        save(graph, whole)
        save(graph, half, pack=True)
        assert half.stat().st_size < whole.stat().st_size
        np.testing.assert_array_equal(weights_by_shape(load(half))[0], weights_by_shape(graph)[0])


@pytest.mark.parametrize("write", [write_tflite, write_onnx], ids=["tflite", "onnx"])
def test_nothing_to_pack_is_refused(write):
    with pytest.raises(UserError, match="nothing can be packed"):
        write(network(8), pack=True)


def test_what_tflite_has_no_four_bits_for_is_refused_by_name():
    sketch = Sketch()
    y = sketch(ops.Conv2D(groups=2), sketch.input(1, 4, 4, 4), sketch.normal(4, 1, 1, 2), "")
    graph = fold(sketch.graph(y))
    whole = quantise(graph, samples_of(graph, 10)["x0"], weight_bits={"conv2d0": 4})
    with pytest.raises(UserError, match="grouped convolution") as caught:
        write_tflite(whole, pack=True)
    assert "conv2d0" in caught.value.where
    np.testing.assert_array_equal(weights_by_shape(read_tflite(write_tflite(whole)))[0], weights_by_shape(whole)[0])


def test_int16_layers_are_refused_in_onnx():
    sketch = Sketch()
    graph = fold(sketch.graph(sketch(ops.Dense(), sketch.input(1, 4), sketch.normal(4, 4), sketch.normal(4))))
    whole = quantise(graph, samples_of(graph, 10)["x0"], activation_bits={"dense0": 16})
    with pytest.raises(UserError, match="int16"):
        write_onnx(whole)
    again = read_tflite(write_tflite(whole))
    x = inputs_of(whole)
    np.testing.assert_array_equal(interpret(again, x)[0], interpret(whole, x)[0])


def test_damaged_halves_are_refused():
    model = onnx.load_from_string(write_onnx(network(), pack=True))
    tensor = next(tensor for tensor in model.graph.initializer if tensor.data_type == 22)
    tensor.raw_data = tensor.raw_data[:-1]
    with pytest.raises(ModelFileError, match="4-bit"):
        read_onnx(model.SerializeToString())


def test_typed_fields_of_halves_are_read():
    graph = network()
    model = onnx.load_from_string(write_onnx(graph, pack=True))
    for tensor in model.graph.initializer:
        if tensor.data_type == 22:
            tensor.int32_data.extend(tensor.raw_data)
            tensor.ClearField("raw_data")
    again = read_onnx(model.SerializeToString())
    np.testing.assert_array_equal(weights_by_shape(again)[3], weights_by_shape(graph)[3])
