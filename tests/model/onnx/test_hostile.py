"""Damaged and hostile files: an error of the UserError family that names what is wrong, soon, whatever the bytes."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from marram.core import operators as ops
from marram.core.errors import ModelFileError, UnsupportedOperator, UserError
from marram.core.graph import Graph, Node, Quantisation, Tensor
from marram.model.onnx import read, read_opaque, write
from marram.model.shapes import infer


def small(*, integer=False):
    """A net with a convolution, a residual edge, a reshape and a dense layer."""
    rng = np.random.default_rng(3)

    def weights(*shape):
        return rng.integers(-9, 9, shape).astype(np.int8) if integer else rng.normal(size=shape).astype(np.float32)

    constants = {"w": weights(3, 3, 3, 2), "v": weights(3, 1, 1, 3), "f": weights(4, 48)}
    nodes = (
        Node(name="a", op=ops.Conv2D(padding=(1, 1, 1, 1)), inputs=("x", "w", ""), outputs=("a",)),
        Node(name="b", op=ops.Conv2D(activation="relu"), inputs=("a", "v", ""), outputs=("b",)),
        Node(name="c", op=ops.Add(), inputs=("a", "b"), outputs=("c",)),
        Node(name="d", op=ops.Reshape(shape=(1, 48)), inputs=("c",), outputs=("d",)),
        Node(name="e", op=ops.Dense(), inputs=("d", "f", ""), outputs=("y",)),
    )
    one = Quantisation(scales=(0.5,), zero_points=(3,)) if integer else None
    weight = Quantisation(scales=(0.25,), zero_points=(0,)) if integer else None
    dtype = "int8" if integer else "float32"
    tensors = {"x": Tensor(name="x", shape=(1, 4, 4, 2), dtype=dtype, quantisation=one)}
    for name, value in constants.items():
        tensors[name] = Tensor(name=name, shape=value.shape, dtype=dtype, quantisation=weight)
    for name in "abcdy":
        tensors[name] = Tensor(name=name, shape=(1,), dtype=dtype, quantisation=one)
    return infer(Graph(name="g", inputs=("x",), outputs=("y",), tensors=tensors, constants=constants, nodes=nodes))


def attempt(data):
    """Read within a bound of time; anything but a Graph or an error of ours fails the test."""
    start = time.monotonic()
    with contextlib.suppress(UserError):
        read(data)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("integer", [False, True])
def test_truncations(integer):
    data = write(small(integer=integer))
    cuts = np.random.default_rng(1).integers(0, len(data), 40)
    for cut in [*cuts, 0, 1, len(data) - 1]:
        attempt(data[: int(cut)])


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_bit_flips(integer, seed):
    data = write(small(integer=integer))
    rng = np.random.default_rng(seed)
    for _ in range(60):
        spoiled = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            spoiled[place] ^= 1 << int(rng.integers(0, 8))
        attempt(bytes(spoiled))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_bit_flips(seed):
    for integer in (False, True):
        test_bit_flips(integer, seed)


@pytest.mark.parametrize("size", [1, 10, 1000, 100_000])
def test_noise_is_no_model(size):
    for seed in range(20):
        with pytest.raises(ModelFileError):
            read(np.random.default_rng(seed).bytes(size))


def model(nodes, *, inputs=(("x", (1, 4)),), outputs=("y",), constants=(), opset=20):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def node(operator, inputs, outputs=("y",), **attributes):
    return helper.make_node(operator, list(inputs), list(outputs), **attributes)


def refused(found, match):
    with pytest.raises(UserError, match=match) as caught:
        read(found.SerializeToString())
    assert caught.value.exit_code == 2


def test_a_sequence_of_bytes_that_is_no_protobuf_names_the_file(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(ModelFileError, match=r"broken\.onnx"):
        read(path)
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        ([node("Relu", ["lost"])], "'lost', which nothing before it provides"),
        ([node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["a"]), node("Relu", ["x"])], "nothing before it provides"),
        ([node("Relu", ["y"])], "nothing before it provides"),
        ([node("Relu", ["x"]), node("Relu", ["x"])], "'y', which is there already"),
        ([node("Relu", ["x"], ["x"])], "'x', which is there already"),
        ([node("Relu", ["x"], ["z"])], "output 'y' is provided by nothing"),
        ([node("Relu", [])], "input 0 is missing"),
        ([node("Relu", ["x"], [])], "gives nothing"),
        ([node("Frobnicate", ["x"])], "operator Frobnicate of node .* is not supported"),
        ([helper.make_node("Gelu", ["x"], ["y"], domain="com.vendor")], "com.vendor.Gelu"),
        ([node("Pow", ["x", "x"])], "Pow to a computed exponent"),
        ([node("Concat", ["x", "x"], axis=7)], "axis 7 of 2"),
        ([node("Softmax", ["x"], axis="first")], "axis is not a int"),
        ([node("Unsqueeze", ["x", "n"])], "lost|nothing before"),
    ],
)
def test_broken_graphs_are_named(nodes, match):
    refused(model(nodes), match)


def test_a_node_of_a_pattern_without_outputs_is_named():
    refused(model([node("HardSigmoid", ["x"], ["a"], alpha=1 / 6), node("Mul", ["x", "a"], [])]), "gives nothing")


def test_a_name_that_is_no_text_is_refused():
    data = model([node("Relu", ["x"])]).SerializeToString()
    assert data.count(b"Relu") == 1
    with pytest.raises(ModelFileError, match=r"UTF-8|Re|readable"):
        read(data.replace(b"Relu", b"Re\xffu"))
    odd = small()
    with pytest.raises(UserError, match="UTF-8"):
        write(Graph(name="\ud800", **{f: getattr(odd, f) for f in ("inputs", "outputs", "tensors", "constants", "nodes")}))


def test_infinite_weights_are_refused_without_a_warning():
    one = np.ones((1, 12, 3), np.float32)
    bias = np.full((1, 24), np.inf, np.float32) * np.repeat([1, -1], 12).astype(np.float32)
    recurrent = node("LSTM", ["x", "w", "w", "b"], ["y"], hidden_size=3)
    found = model([recurrent], inputs=[("x", (2, 1, 3))], constants=[("w", one), ("b", bias)])
    refused(found, "NaN or infinity")


def test_subgraphs_are_refused_by_name():
    inner = helper.make_graph([node("Relu", ["x"], ["z"])], "inner", [], [helper.make_tensor_value_info("z", 1, None)])
    branch = node("If", ["c"], then_branch=inner, else_branch=inner)
    refused(model([branch], constants=[("c", np.array(True))]), "operator If")


def test_supported_operators_are_listed():
    with pytest.raises(UnsupportedOperator) as caught:
        read(model([node("Frobnicate", ["x"])]).SerializeToString())
    assert caught.value.operator == "Frobnicate"
    assert {"Conv", "Gemm", "LSTM"} <= set(caught.value.supported)


@pytest.mark.parametrize("place", ["../../etc/passwd", "/etc/passwd", "weights.bin"])
def test_data_outside_the_file_is_never_opened(place, tmp_path):
    found = model([node("Add", ["x", "c"])], constants=[("c", np.zeros(4, np.float32))])
    tensor = found.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    path = tmp_path / "m.onnx"
    path.write_bytes(found.SerializeToString())
    with pytest.raises(ModelFileError, match="lies outside the file"):
        read(path)


def spoiled(change):
    found = model([node("Add", ["x", "c"])], constants=[("c", np.zeros(4, np.float32))])
    change(found)
    return found


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda m: m.graph.initializer[0].dims.append(2**40), "has 4 elements"),
        (lambda m: m.graph.initializer[0].dims.__setitem__(0, -4), "shape"),
        (lambda m: m.graph.initializer[0].dims.extend([1] * 60), "shape"),
        (lambda m: setattr(m.graph.initializer[0], "raw_data", b"123"), "not a whole number"),
        (lambda m: setattr(m.graph.initializer[0], "data_type", TensorProto.STRING), "data type 8"),
        (lambda m: setattr(m.graph.initializer[0], "raw_data", np.full(4, np.nan, "f4").tobytes()), "NaN"),
        (lambda m: m.graph.input[0].type.tensor_type.shape.dim[1].ClearField("dim_value"), "axis 1 of the input 'x' is open"),
        (lambda m: m.graph.input[0].type.tensor_type.shape.dim[1].__setattr__("dim_value", 2**60), "shapes|elements"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.INT64), "int64 input"),
        (lambda m: setattr(m.opset_import[0], "version", 99), "operator set 99"),
        (lambda m: m.ClearField("opset_import"), "names no operator set"),
        (lambda m: m.ClearField("graph"), "has no graph"),
        (lambda m: m.graph.ClearField("output"), "has no outputs"),
    ],
)
def test_lies_about_sizes_and_types_are_found(change, match):
    refused(spoiled(change), match)


BIG = 2**31 - 1


@pytest.mark.parametrize(
    "nodes",
    [
        [node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"])],
        [node("Expand", ["one", "s"], ["c"]), node("Add", ["x", "c"])],
        [node("Tile", ["one", "s"], ["c"]), node("Add", ["x", "c"])],
        [node("Range", ["zero", "limit", "one"], ["c"]), node("Add", ["x", "c"])],
        [node("Pad", ["x", "pads"])],
        [node("Expand", ["x", "s"])],
    ],
)
def test_small_files_that_ask_for_much_memory_are_refused(nodes):
    constants = [
        ("s", np.array([BIG, 64], np.int64)),
        ("one", np.ones((1, 1), np.float32)),
        ("zero", np.zeros((), np.float32)),
        ("limit", np.array(1e15, np.float32)),
        ("pads", np.array([0, 0, BIG, BIG], np.int64)),
    ]
    start = time.monotonic()
    with pytest.raises(UserError):
        read(model(nodes, constants=constants).SerializeToString())
    assert time.monotonic() - start < 2


def test_thousands_of_nodes_that_double_a_constant_are_stopped():
    nodes = [node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(60)]
    refused(model([*nodes, node("Add", ["x", "c60"])], constants=[("c0", np.zeros(4, np.float32))]), "more constants")


def test_an_opaque_model_keeps_the_bytes_and_names_what_is_missing(tmp_path):
    found = model([node("Frobnicate", ["x"], ["a"]), node("Relu", ["a"])])
    found.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
    data = found.SerializeToString()
    (tmp_path / "odd.onnx").write_bytes(data)
    opaque = read_opaque(tmp_path / "odd.onnx")
    assert (opaque.name, opaque.format, opaque.blob) == ("odd", "onnx", data)
    assert opaque.unsupported == ("Frobnicate",)
    assert opaque.inputs[0].shape == (1, 4)
    assert read_opaque(write(small())).unsupported == ()


def test_what_is_read_is_legal_onnx_in_the_first_place():
    onnx.checker.check_model(onnx.load_from_string(write(small())))
    assert read(write(small())).inputs == ("x",)


@pytest.mark.parametrize("operator", ["Relu", "Flatten", "Softmax", "Transpose"])
def test_long_chains_of_one_name_take_bounded_time(operator):
    chain = [helper.make_node(operator, [f"t{i}"], [f"t{i + 1}"], name="same") for i in range(2000)]
    start = time.monotonic()
    graph = read(model(chain, inputs=[("t0", (1, 4))], outputs=["t2000"]).SerializeToString())
    assert time.monotonic() - start < 10
    assert graph.outputs == ("t2000",)


def test_too_many_nodes_are_refused():
    chain = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(10_001)]
    refused(model(chain, inputs=[("t0", (1, 4))], outputs=["t10001"]), "10001 nodes")
