"""What is written computes the same: in ONNX Runtime, and read back, over random graphs of every operator."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.model.graphs import INTEGER_OPERATORS, affine, float_graphs, integer_graphs, samples

from marram.core import operators as ops
from marram.core.graph import Graph, Node, Tensor
from marram.model.onnx import read, write
from marram.model.reference import interpret
from marram.model.spec import verify

SLOW = settings(derandomize=True, max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def run(data, graph, inputs, *, optimised=True):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(list(graph.outputs), dict(zip(graph.inputs, inputs, strict=True)))


def interface(graph):
    return [(t.name, t.dtype, t.quantisation) for t in (*graph.input_tensors, *graph.output_tensors)]


def close(got, want):
    scale = max(1.0, float(np.abs(want).max()))
    assert got.shape == want.shape
    np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=2e-5)


@SLOW
@given(graph=float_graphs(), seed=st.integers(0, 1000))
def test_random_float_graphs(graph, seed):
    data = write(graph)
    assert data == write(graph)
    onnx.checker.check_model(onnx.load_from_string(data))
    inputs = samples(graph, 1, seed=seed)
    want = interpret(graph, inputs)
    for got, expected in zip(run(data, graph, inputs), want, strict=True):
        close(got, expected)
    again = read(data, name=graph.name)
    assert [t.shape for t in again.input_tensors] == [t.shape for t in graph.input_tensors]
    assert interface(again) == interface(graph)
    for got, expected in zip(interpret(again, inputs), want, strict=True):
        close(got, expected)


@SLOW
@given(graph=integer_graphs(operators=INTEGER_OPERATORS), seed=st.integers(0, 1000))
def test_random_integer_graphs(graph, seed):
    data = write(graph)
    assert data == write(graph)
    onnx.checker.check_model(onnx.load_from_string(data))
    inputs = samples(graph, 1, seed=seed)
    again = read(data, name=graph.name)
    verify(again, "integer")
    assert interface(again) == interface(graph)
    for name, got, expected in zip(graph.outputs, interpret(again, inputs), interpret(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, expected, err_msg=name)
    for got, tensor in zip(run(data, graph, inputs, optimised=False), graph.output_tensors, strict=True):
        assert (got.dtype.name, got.shape) == (tensor.dtype, tensor.shape)


ROUNDED = st.integers(0, 1000)


@settings(SLOW, max_examples=120)
@given(graph=integer_graphs(operators=INTEGER_OPERATORS, most_nodes=1), seed=ROUNDED)
def test_one_integer_operator_is_within_a_step_of_the_runtime(graph, seed):
    # ONNX Runtime's fused softmax wraps to 0 where one element has the whole probability by itself.
    assume(not any(isinstance(n.op, ops.Softmax) and graph.tensors[n.inputs[0]].shape[-1] == 1 for n in graph.nodes))
    inputs = samples(graph, 1, seed=seed)
    want = interpret(graph, inputs)
    for optimised in (False, True):
        for got, expected in zip(run(write(graph), graph, inputs, optimised=optimised), want, strict=True):
            assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1


def test_published_models_are_the_same_read_back(shared_data):
    """On top of the generated graphs: each MLPerf Tiny file that is there, through ONNX and back."""
    from marram.model.tflite import read as read_tflite

    folder = shared_data and shared_data / "mlperf_tiny"
    for path in sorted(folder.glob("*.tflite")) if folder else ():
        graph = read_tflite(path)
        again = read(write(graph))
        inputs = samples(graph, 1, seed=11)
        for got, want in zip(interpret(again, inputs), interpret(graph, inputs), strict=True):
            if want.dtype == np.int8:
                np.testing.assert_array_equal(got, want, err_msg=path.name)
            else:
                close(got, want)


def test_an_operator_that_the_runtime_takes_alone_is_fused():
    """A dense layer of integers becomes one QGemm, a convolution one QLinearConv: nothing of them stays float."""
    import tempfile
    from pathlib import Path

    rng = np.random.default_rng(0)
    shapes = {"x": (1, 6, 6, 4), "a": (1, 6, 6, 8), "m": (1, 8), "y": (1, 3)}
    zeros = {"x": 3, "a": -128, "m": -128, "y": 5}  # what follows a relu has its zero at the end, as calibration gives it
    tensors = {n: Tensor(name=n, shape=s, dtype="int8", quantisation=affine(0.05, zeros[n])) for n, s in shapes.items()}
    constants = {name: rng.integers(-127, 128, shape).astype(np.int8) for name, shape in (("w", (8, 3, 3, 4)), ("f", (3, 8)))}
    for name, value in constants.items():
        tensors[name] = Tensor(name=name, shape=value.shape, dtype="int8", quantisation=affine(0.01))
    nodes = (
        Node(name="conv", op=ops.Conv2D(padding=(1, 1, 1, 1), activation="relu"), inputs=("x", "w", ""), outputs=("a",)),
        Node(name="mean", op=ops.Mean(axes=(1, 2)), inputs=("a",), outputs=("m",)),
        Node(name="head", op=ops.Dense(), inputs=("m", "f", ""), outputs=("y",)),
    )
    graph = Graph(name="g", inputs=("x",), outputs=("y",), tensors=tensors, constants=constants, nodes=nodes)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(write(graph), options, providers=["CPUExecutionProvider"])
        kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert {"QLinearConv", "QGemm"} <= set(kinds)
    assert {"Conv", "Gemm", "FusedConv", "FusedGemm"}.isdisjoint(kinds)
