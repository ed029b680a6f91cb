"""Files as converters write them, and files that contradict themselves."""

from __future__ import annotations

import numpy as np
import pytest

from marram.core import operators as ops
from marram.core.errors import ModelFileError, UnsupportedOperator, UserError
from marram.model.reference import interpret
from marram.model.tflite import read, read_opaque, write

RNG = np.random.default_rng(7)


def real(*shape, **extra):
    return shape, "float32", None, extra


def known(value, **extra):
    return value.shape, value.dtype.name, value, extra


def weights(*shape):
    return known(RNG.normal(0, 0.5, shape).astype(np.float32))


def numbers(*values):
    return known(np.array(values, np.int32))


def scaled(*scales, axis=0):
    return {
        "quantization": {
            "scale": np.array(scales, np.float32),
            "zero_point": np.zeros(len(scales), np.int64),
            "quantized_dimension": axis,
        }
    }


FC = ("FULLY_CONNECTED", 1)
FC_OPTIONS = ("FullyConnectedOptions", {})
ADD = (("ADD", 1), ["x", "x"], ["y"], ("AddOptions", {}))
STRIDED = (("STRIDED_SLICE", 1), ["x", "b", "e", "s"], ["y"])
CASES = {
    "rows are flattened": (
        {"x": real(1, 2, 3, 4), "w": weights(5, 24), "y": real(1, 5)},
        [(FC, ["x", "w", ""], ["y"], FC_OPTIONS)],
        ["fully_connected_0_flat", "fully_connected_0"],
    ),
    "rows of a series": (
        {"x": real(1, 6, 4), "w": weights(5, 4), "b": weights(5), "y": real(6, 5)},
        [(FC, ["x", "w", "b"], ["y"], ("FullyConnectedOptions", {"fused_activation_function": 1}))],
        None,
    ),
    "computed weights are a product": (
        {"x": real(3, 4), "z": real(5, 4), "y": real(3, 5)},
        [(FC, ["x", "z", ""], ["y"], FC_OPTIONS)],
        ["fully_connected_0"],
    ),
    "axes by one, from behind": (
        {"x": real(1, 4, 5, 2), "a": numbers(-2), "y": real(1, 4, 2)},
        [(("MEAN", 1), ["x", "a"], ["y"], ("ReducerOptions", {}))],
        None,
    ),
    "an axis vanishes": (
        {"x": real(1, 6, 4), "b": numbers(0, -1, 0), "e": numbers(0, 0, 0), "s": numbers(1, 1, 1), "y": real(1, 4)},
        [(*STRIDED, ("StridedSliceOptions", {"begin_mask": 5, "end_mask": 5, "shrink_axis_mask": 2}))],
        ["strided_slice_0_part", "strided_slice_0"],
    ),
    "a cut of the first axes": (
        {"x": real(1, 9, 4), "b": numbers(0, -7), "e": numbers(0, -1), "s": numbers(1, 2), "y": real(1, 3, 4)},
        [(*STRIDED, ("StridedSliceOptions", {"end_mask": 1}))],
        None,
    ),
    "axes of one come and go": (
        {"x": real(1, 6), "a": numbers(1), "m": real(1, 1, 6), "y": real(1, 6)},
        [
            (("EXPAND_DIMS", 1), ["x", "a"], ["m"], ("ExpandDimsOptions", {})),
            (("SQUEEZE", 1), ["m"], ["y"], ("SqueezeOptions", {"squeeze_dims": np.array([1])})),
        ],
        None,
    ),
    "the rest of an axis": (
        {"x": real(1, 7, 2), "n": numbers(2, -1), "a": known(np.array(1, np.int32)), "y": real(1, 2, 2), "z": real(1, 5, 2)},
        [(("SPLIT_V", 1), ["x", "n", "a"], ["y", "z"], ("SplitVOptions", {"num_splits": 2}))],
        None,
    ),
    "a slice to the end": (
        {"x": real(1, 7, 2), "b": numbers(0, 3, 0), "n": numbers(1, -1, 1), "y": real(1, 4, 1)},
        [(("SLICE", 1), ["x", "b", "n"], ["y"], ("SliceOptions", {}))],
        None,
    ),
    "a squared difference": (
        {"x": real(1, 3), "z": real(1, 3), "y": real(1, 3)},
        [(("SQUARED_DIFFERENCE", 1), ["x", "z"], ["y"], None)],
        None,
    ),
    "half-precision weights": (
        {"x": real(1, 4), "h": known(RNG.normal(0, 1, (3, 4)).astype(np.float16)), "w": real(3, 4), "y": real(1, 3)},
        [
            (("DEQUANTIZE", 3), ["h"], ["w"], ("DequantizeOptions", {})),
            (FC, ["x", "w", ""], ["y"], FC_OPTIONS),
        ],
        ["fully_connected_1"],
    ),
    "integer weights that are dequantised first": (
        {
            "x": real(1, 4),
            "q": known(RNG.integers(-127, 128, (3, 4)).astype(np.int8), **scaled(0.5, 0.25, 0.125)),
            "w": real(3, 4),
            "y": real(1, 3),
        },
        [
            (("DEQUANTIZE", 5), ["q"], ["w"], ("DequantizeOptions", {})),
            (FC, ["x", "w", ""], ["y"], FC_OPTIONS),
        ],
        ["fully_connected_1"],
    ),
    "the arithmetic of an open batch": (
        {
            "x": real(1, 3, 4, shape_signature=np.array([-1, 3, 4])),
            "shape": ((3,), "int32", None, {}),
            "b": numbers(0),
            "e": numbers(1),
            "s": numbers(1),
            "n": ((), "int32", None, {}),
            "c": known(np.array(12, np.int32)),
            "wanted": ((2,), "int32", None, {}),
            "y": real(1, 12, shape_signature=np.array([-1, 12])),
        },
        [
            (("SHAPE", 1), ["x"], ["shape"], ("ShapeOptions", {"out_type": 2})),
            (("STRIDED_SLICE", 1), ["shape", "b", "e", "s"], ["n"], ("StridedSliceOptions", {"shrink_axis_mask": 1})),
            (("PACK", 1), ["n", "c"], ["wanted"], ("PackOptions", {"values_count": 2})),
            (("RESHAPE", 1), ["x", "wanted"], ["y"], None),
        ],
        ["reshape_3"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_means_what_litert_computes(case, assemble, random_inputs, litert):
    tensors, operators, nodes = CASES[case]
    written = [name for _, _, outputs, _ in operators for name in outputs]
    inputs = [name for name, (_, _, value, _) in tensors.items() if value is None and name not in written]
    outputs = [name for name in written if not any(name in reads for _, reads, _, _ in operators)]
    data = assemble(tensors, operators, inputs, outputs)
    graph = read(data)
    if nodes:
        assert [node.name for node in graph.nodes] == nodes
    given = random_inputs(graph, 3)
    for ours, theirs in zip(interpret(graph, given), litert(data, graph, given), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert write(read(write(graph))) == write(graph)


def test_dynamic_range_weights_become_real_constants(assemble):
    value = RNG.integers(-127, 128, (2, 1, 1, 4)).astype(np.int8)
    tensors = {"x": real(1, 3, 3, 4), "w": known(value, **scaled(0.5, 0.25)), "b": weights(2), "y": real(1, 3, 3, 2)}
    options = ("Conv2DOptions", {"padding": 1, "stride_w": 1, "stride_h": 1})
    graph = read(assemble(tensors, [(("CONV_2D", 5), ["x", "w", "b"], ["y"], options)], ["x"], ["y"]))
    np.testing.assert_array_equal(graph.constants["w"], value * np.array([0.5, 0.25], np.float32).reshape(2, 1, 1, 1))
    assert graph.tensors["w"].dtype == "float32"
    assert graph.tensors["w"].quantisation is None


def test_four_bit_weights_are_unpacked(assemble):
    packed = np.array([0x1F, 0x80, 0x07], np.uint8)  # low half first: -1, 1, 0, -8, 7, 0
    tensors = {"x": real(1, 3), "w": ((2, 3), "int4", packed, scaled(0.5)), "y": real(1, 2)}
    graph = read(assemble(tensors, [(FC, ["x", "w", ""], ["y"], FC_OPTIONS)], ["x"], ["y"]))
    np.testing.assert_array_equal(graph.constants["w"], np.array([[-1, 1, 0], [-8, 7, 0]], np.float32) / 2)


def test_the_name_of_a_graph(assemble, tmp_path):
    data = assemble({"x": real(2), "y": real(2)}, [ADD], ["x"], ["y"])
    path = tmp_path / "net.tflite"
    path.write_bytes(data)
    assert (read(data).name, read(path).name, read(path, name="mine").name) == ("main", "net", "mine")


def test_a_missing_file_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "none.tflite")


ONE = {"x": real(2), "y": real(2)}
REFUSED = {
    "a join with an activation, which runtimes ignore": (
        "CONCATENATION",
        ONE,
        [(("CONCATENATION", 1), ["x"], ["y"], ("ConcatenationOptions", {"axis": -1, "fused_activation_function": 3}))],
    ),
    "an operator without a place": ("EXP", ONE, [(("EXP", 1), ["x"], ["y"], None)]),
    "a fused activation without a place": (
        r"ADD \(with fused tanh\)",
        ONE,
        [(("ADD", 1), ["x", "x"], ["y"], ("AddOptions", {"fused_activation_function": 4}))],
    ),
    "weights that are computed": (
        r"CONV_2D \(with computed weights\)",
        {"x": real(1, 1, 1, 1), "y": real(1, 1, 1, 1)},
        [(("CONV_2D", 1), ["x", "x"], ["y"], ("Conv2DOptions", {"stride_w": 1, "stride_h": 1}))],
    ),
    "sparse weights": (
        "sparse",
        {"x": real(1, 2), "w": known(np.ones((2, 2), np.float32), sparsity={}), "y": real(1, 2)},
        [(FC, ["x", "w", ""], ["y"], FC_OPTIONS)],
    ),
    "integers of another kind": (
        r"RELU \(on uint8\)",
        {"x": real(2), "m": ((2,), "uint8", None, scaled(1)), "y": real(2)},
        [(("RELU", 1), ["x"], ["m"], None), (("DEQUANTIZE", 1), ["m"], ["y"], None)],
    ),
    "a tensor with a memory": ("keeps its value", {"x": real(2, is_variable=True), "y": real(2)}, [ADD]),
    "half-precision activations": (
        "float16",
        {"x": real(2), "h": ((2,), "float16", None, {}), "y": real(2)},
        [(("RELU", 1), ["x"], ["h"], None), (("DEQUANTIZE", 3), ["h"], ["y"], None)],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_graph_cannot_hold_is_refused_and_can_be_carried(case, assemble):
    message, tensors, operators = REFUSED[case]
    data = assemble(tensors, operators, ["x"], ["y"])
    with pytest.raises(UnsupportedOperator, match=message):
        read(data)
    opaque = read_opaque(data)
    assert opaque.blob == data
    assert [tensor.name for tensor in (*opaque.inputs, *opaque.outputs)] == ["x", "y"]
    assert len(opaque.unsupported) == 1


def test_the_error_names_the_node_and_what_is_supported(assemble):
    tensors = {"x": real(2), "m": real(2), "y": real(2)}
    operators = [(ADD[0], ["x", "x"], ["m"], ADD[3]), (("EXP", 1), ["m"], ["y"], None)]
    data = assemble(tensors, operators, ["x"], ["y"])
    with pytest.raises(UnsupportedOperator) as caught:
        read(data, name="net")
    assert (caught.value.operator, caught.value.node, caught.value.where) == ("EXP", "1", "net")
    assert "CONV_2D" in caught.value.supported


def test_an_opaque_model_of_a_sound_file_lacks_nothing(assemble):
    assert read_opaque(assemble(ONE, [ADD], ["x"], ["y"])).unsupported == ()


CONV = {"x": real(1, 4, 4, 2), "w": weights(3, 3, 3, 2), "y": real(1, 2, 2, 3)}


def conv(**options):
    return [(("CONV_2D", 1), ["x", "w"], ["y"], ("Conv2DOptions", {"padding": 1, "stride_w": 1, "stride_h": 1, **options}))]


DAMAGED = {
    "a shape that is not so": ("said to have shape", {**ONE, "y": real(3)}, [ADD]),
    "a huge shape that is not so": ("said to have shape", {**ONE, "y": real(2**31 - 1, 2**31 - 1)}, [ADD]),
    "a tensor written twice": ("written before", ONE, [ADD, ADD]),
    "an input that is written": ("written before", ONE, [(ADD[0], ["x", "x"], ["x"], ADD[3])]),
    "a tensor nobody wrote": ("before anything computes it", {**ONE, "z": real(2)}, [(ADD[0], ["x", "z"], ["y"], ADD[3])]),
    "an output nobody wrote": ("nothing computes", ONE, []),
    "a missing input": ("has 1 inputs, not 2", ONE, [(ADD[0], ["x"], ["y"], ADD[3])]),
    "no inputs at all": ("has no input 0", ONE, [(("RELU", 1), [], ["y"], None)]),
    "options of another operator": ("has SubOptions", ONE, [(ADD[0], ["x", "x"], ["y"], ("SubOptions", {}))]),
    "an unknown activation": ("unknown fused", ONE, [(*ADD[:3], ("AddOptions", {"fused_activation_function": 99}))]),
    "too many axes": ("more than 8", {**ONE, "x": real(*[1] * 9)}, [ADD]),
    "a negative size": ("not negative", {**ONE, "x": real(-2)}, [ADD]),
    "a short buffer": ("takes 8 bytes", {**ONE, "c": ((2,), "float32", np.zeros(1, np.float32), {})}, [ADD]),
    "a huge constant": ("takes", {**ONE, "c": ((2**31 - 1,) * 8, "float32", np.zeros(1, np.float32), {})}, [ADD]),
    "scales that do not fit": ("3 scales", {**ONE, "c": ((2,), "int8", None, scaled(1, 2, 3))}, [ADD]),
    "a scale of zero": ("not a positive number", {**ONE, "c": ((2,), "int8", None, scaled(0))}, [ADD]),
    "a scale that is no number": ("not a positive number", {**ONE, "c": ((2,), "int8", None, scaled(np.nan))}, [ADD]),
    "NaN weights": ("NaN", {**ONE, "c": known(np.array([0, np.nan], np.float32))}, [(ADD[0], ["x", "c"], ["y"], ADD[3])]),
    "a stride of zero": ("stride", CONV, conv(stride_w=0)),
    "a dilation of zero": ("dilation", CONV, conv(dilation_h_factor=0)),
    "an unknown padding": ("unknown padding", CONV, conv(padding=5)),
    "channels that do not divide": ("do not divide", {**CONV, "x": real(1, 4, 4, 3)}, conv()),
    "a window that does not fit": ("does not fit", CONV, conv(dilation_h_factor=2**30)),
    "a reshape that does not fit": (
        "other elements",
        {"x": real(6), "s": numbers(2, 4), "y": real(2, 4)},
        [(("RESHAPE", 1), ["x", "s"], ["y"], None)],
    ),
    "a huge resize": (
        "elements",
        {"x": real(1, 2, 2, 1), "s": numbers(2**31 - 1, 2**31 - 1), "y": real(1, 2, 2, 1)},
        [(("RESIZE_BILINEAR", 1), ["x", "s"], ["y"], ("ResizeBilinearOptions", {}))],
    ),
    "a split into unequal parts": (
        "equal parts",
        {"x": real(5), "a": known(np.array(0, np.int32)), "y": real(2), "z": real(3)},
        [(("SPLIT", 1), ["a", "x"], ["y", "z"], ("SplitOptions", {"num_splits": 2}))],
    ),
    "an axis outside": (
        "outside a tensor",
        {"x": real(2, 2), "a": numbers(2), "y": real(2)},
        [(("MEAN", 1), ["x", "a"], ["y"], ("ReducerOptions", {}))],
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_file_that_contradicts_itself_is_refused(case, assemble):
    message, tensors, operators = DAMAGED[case]
    with pytest.raises(ModelFileError, match=message) as caught:
        read(assemble(tensors, operators, ["x"], ["y"]), name="net")
    assert caught.value.where.startswith("net")


def test_constants_cannot_be_multiplied_by_folding(assemble):
    """Each operator joins its constant with itself: sixty of them would make 2^60 elements."""
    tensors = {"x": real(2), "y": real(2), "c0": numbers(*range(64))}
    operators = [ADD]
    for i in range(60):
        tensors[f"c{i + 1}"] = ((2 ** min(i + 7, 30),), "int32", None, {"shape_signature": np.array([-1])})
        operators.append((("CONCATENATION", 1), [f"c{i}", f"c{i}"], [f"c{i + 1}"], ("ConcatenationOptions", {})))
    with pytest.raises(ModelFileError, match="more constants"):
        read(assemble(tensors, operators, ["x"], ["y"]))


def test_the_published_files_load(mlperf):
    expected = {"ad01": 10, "kws": 13, "pretrainedResnet": 16, "vww": 31}
    for name, path in mlperf.items():
        graph = read(path)
        assert len(graph.nodes) == next(count for start, count in expected.items() if name.startswith(start))
        assert all(tensor.shape[0] == 1 for tensor in (*graph.input_tensors, *graph.output_tensors))
        integer = "int8" in name or "quant" in name or name == "kws_ref_model.tflite"
        assert {tensor.dtype for tensor in graph.tensors.values()} == ({"int8", "int32"} if integer else {"float32"})
        assert any(isinstance(node.op, ops.Dense) for node in graph.nodes)


def test_published_integer_files_survive_the_round_trip(mlperf, random_inputs, tflm):
    for path in mlperf.values():
        original = path.read_bytes()
        graph = read(original)
        data = write(graph)
        assert write(read(data)) == data
        if graph.input_tensors[0].dtype != "int8":
            continue
        for seed in range(3):
            inputs = random_inputs(graph, seed)
            (wanted,) = tflm(original, inputs)
            np.testing.assert_array_equal(tflm(data, inputs)[0], wanted)
            np.testing.assert_array_equal(interpret(graph, inputs)[0], wanted)


def test_published_float_files_compute_the_same(mlperf, random_inputs, litert):
    from ai_edge_litert.interpreter import Interpreter

    for path in mlperf.values():
        graph = read(path)
        if graph.input_tensors[0].dtype == "int8":
            continue
        (x,) = random_inputs(graph, 5)
        original = Interpreter(model_path=str(path), num_threads=1)
        original.allocate_tensors()
        original.set_tensor(original.get_input_details()[0]["index"], x)
        original.invoke()
        wanted = original.get_tensor(original.get_output_details()[0]["index"])
        # the keyword file has dynamic-range weights: LiteRT quantises its activations on the fly, the Graph is exact
        tolerance = 2e-2 if path.name.startswith("kws") else 1e-5
        np.testing.assert_allclose(litert(write(graph), graph, [x])[0], wanted, rtol=tolerance, atol=tolerance)


EPSILON = 2**-10
NORM = {
    "x": real(1, 5, 8),
    "a": known(np.array(-1, np.int32)),
    "eps": known(np.array(EPSILON, np.float32)),
    "gamma": weights(8),
    "beta": weights(8),
    **{name: real(1, 5, 1) for name in ("m", "v", "ve", "r")},
    **{name: real(1, 5, 8) for name in ("c", "q", "n", "s", "t", "u", "y")},
}
KEEP = ("ReducerOptions", {"keep_dims": True})


def step(name, reads, writes, **options):
    table = {"MEAN": KEEP, "ADD": ("AddOptions", options), "SUB": ("SubOptions", {}), "MUL": ("MulOptions", {})}.get(name)
    return ((name, 1), reads.split(), [writes], table)


MOMENTS = [step("MEAN", "x a", "m"), step("SUB", "x m", "c")]
NORMS = {
    "centred": [
        *MOMENTS,
        step("MUL", "c c", "q"),
        step("MEAN", "q a", "v"),
        step("ADD", "eps v", "ve"),
        step("RSQRT", "ve", "r"),
        step("MUL", "r c", "n"),
        step("MUL", "gamma n", "s"),
        step("ADD", "s beta", "y", fused_activation_function=1),
    ],
    "keras": [
        step("MEAN", "x a", "m"),
        step("SQUARED_DIFFERENCE", "x m", "q"),
        step("MEAN", "q a", "v"),
        step("ADD", "v eps", "ve"),
        step("RSQRT", "ve", "r"),
        step("MUL", "r gamma", "s"),
        step("MUL", "x s", "t"),
        step("MUL", "m s", "n"),
        step("SUB", "beta n", "u"),
        step("ADD", "t u", "y"),
    ],
}


@pytest.mark.parametrize("form", NORMS)
def test_a_layer_norm_is_found_in_its_parts(form, assemble, random_inputs, litert):
    used = {name for _, reads, writes, _ in NORMS[form] for name in (*reads, *writes)}
    tensors = {name: tensor for name, tensor in NORM.items() if name in used}
    data = assemble(tensors, NORMS[form], ["x"], ["y"])
    graph = read(data)
    assert graph.nodes[0].op == ops.LayerNorm(epsilon=EPSILON)
    assert len(graph.nodes) == (2 if form == "centred" else 1)
    given = random_inputs(graph, 3)
    np.testing.assert_allclose(interpret(graph, given)[0], litert(data, graph, given)[0], rtol=1e-4, atol=1e-5)
    assert write(read(write(graph))) == write(graph)


def test_a_layer_norm_whose_inner_result_is_used_elsewhere_is_none(assemble):
    tensors = {name: tensor for name, tensor in NORM.items() if name not in {"t", "u"}}
    data = assemble(tensors, NORMS["centred"], ["x"], ["y", "v"])
    with pytest.raises(UnsupportedOperator, match="RSQRT"):
        read(data)


def test_slopes_by_channel(assemble, random_inputs, litert):
    tensors = {"x": real(1, 3, 3, 4), "a": weights(1, 1, 4), "y": real(1, 3, 3, 4)}
    data = assemble(tensors, [(("PRELU", 1), ["x", "a"], ["y"], None)], ["x"], ["y"])
    graph = read(data)
    given = random_inputs(graph, 3)
    np.testing.assert_array_equal(interpret(graph, given)[0], litert(data, graph, given)[0])


def test_a_size_left_open_beyond_the_batch_is_refused(assemble):
    extra = {"shape_signature": np.array([-1, -1, -1, 2])}
    tensors = {**CONV, "x": real(1, 1, 1, 2, **extra), "y": real(1, 1, 1, 3, **extra)}
    with pytest.raises(UnsupportedOperator, match="leaves open"):
        read(assemble(tensors, conv(), ["x"], ["y"]))
