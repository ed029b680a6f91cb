"""The float reference against LiteRT (random graphs over its operators) and torch (recurrent layers, batch norm)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.model.graphs import FLOAT_OPERATORS, float_graphs, samples

from marram.core import operators as ops
from marram.core.graph import Array, Graph, Node, Tensor
from marram.model.reference import interpret
from marram.model.spec import verify
from marram.model.tflite import read, write

SETTINGS = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck)}
LITERT_OPERATORS = FLOAT_OPERATORS - {ops.Lstm, ops.Gru, ops.BatchNorm}


def litert(blob: bytes, graph: Graph, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """What LiteRT computes for one sample."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=blob, num_threads=1)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return tuple(interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details())


def assert_close(graph: Graph, seed: int) -> None:
    verify(graph, "float")
    inputs = samples(graph, 1, seed=seed)
    biggest = 1.0

    def observe(_: str, array: Array) -> None:
        nonlocal biggest
        biggest = max(biggest, float(np.abs(array).max()))

    ours = interpret(graph, inputs, observe=observe)
    assume(biggest < 1e4)
    for name, mine, other in zip(graph.outputs, ours, litert(write(graph), graph, inputs), strict=True):
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape), name
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5 * biggest, err_msg=name)


@pytest.mark.parametrize("kind", sorted(LITERT_OPERATORS, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_each_operator_is_close(kind: type) -> None:
    @settings(max_examples=15, **SETTINGS)
    @given(graph=float_graphs(operators={kind}, most_nodes=1), seed=st.integers(0, 1000))
    def check(graph: Graph, seed: int) -> None:
        assert_close(graph, seed)

    check()


@settings(max_examples=100, **SETTINGS)
@given(graph=float_graphs(operators=LITERT_OPERATORS, most_nodes=4), seed=st.integers(0, 1000))
def test_random_graphs_are_close(graph: Graph, seed: int) -> None:
    assert_close(graph, seed)


def test_published_models_are_close(shared_data: Path | None) -> None:
    names = ("ad01_fp32", "pretrainedResnet", "vww_96_float")
    for path in [] if shared_data is None else [shared_data / "mlperf_tiny" / f"{name}.tflite" for name in names]:
        graph = read(path, name=path.stem)
        (x,) = samples(graph, 3, seed=0)
        (found,) = interpret(graph, x)
        expected = np.concatenate([litert(path.read_bytes(), graph, (sample[None],))[0] for sample in x])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * float(np.abs(expected).max()), err_msg=path.name)


def recurrent(op: ops.Lstm | ops.Gru, gates: int, size: int, *, biases: int) -> Graph:
    rng = np.random.default_rng(3)
    hidden = op.hidden
    values = {
        "w": rng.normal(size=(gates * hidden, size)),
        "r": rng.normal(size=(gates * hidden, hidden)),
        **{f"b{index}": rng.normal(size=gates * hidden) for index in range(biases)},
    }
    constants = {name: value.astype(np.float32) for name, value in values.items()}
    outputs = {"y": (1, 7, hidden), "h": (1, hidden), **({"c": (1, hidden)} if isinstance(op, ops.Lstm) else {})}
    shapes = {"x": (1, 7, size), **outputs, **{name: value.shape for name, value in constants.items()}}
    return Graph(
        name="recurrent",
        inputs=("x",),
        outputs=tuple(outputs),
        tensors={name: Tensor(name=name, shape=shape) for name, shape in shapes.items()},
        constants=constants,
        nodes=(Node(name="cell", op=op, inputs=("x", *constants), outputs=tuple(outputs)),),
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_layers_are_torchs(kind: str, reverse: bool) -> None:
    import torch

    op = ops.Lstm(hidden=5, reverse=reverse) if kind == "lstm" else ops.Gru(hidden=5, reverse=reverse)
    graph = recurrent(op, 4 if kind == "lstm" else 3, 6, biases=1 if kind == "lstm" else 2)
    layer = (torch.nn.LSTM if kind == "lstm" else torch.nn.GRU)(6, 5, batch_first=True)
    (x,) = samples(graph, 4, seed=0)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.from_numpy(graph.constants["w"]))
        layer.weight_hh_l0.copy_(torch.from_numpy(graph.constants["r"]))
        layer.bias_ih_l0.copy_(torch.from_numpy(graph.constants["b0"]))
        layer.bias_hh_l0.copy_(torch.from_numpy(graph.constants.get("b1", np.zeros_like(graph.constants["b0"]))))
        fed = torch.from_numpy(x[:, ::-1].copy() if reverse else x)
        y, last = layer(fed)
    expected = y.numpy()[:, ::-1] if reverse else y.numpy()
    outputs = interpret(graph, x)
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-5, atol=1e-5)
    states = last if isinstance(last, tuple) else (last,)
    for mine, other in zip(outputs[1:], states, strict=True):
        np.testing.assert_allclose(mine, other.numpy()[0], rtol=1e-5, atol=1e-5)


@settings(max_examples=20, **SETTINGS)
@given(graph=float_graphs(operators={ops.BatchNorm}, most_nodes=1), seed=st.integers(0, 1000))
def test_batch_norm_is_torchs(graph: Graph, seed: int) -> None:
    import torch

    (x,) = samples(graph, 3, seed=seed)
    gamma, beta, mean, variance = (torch.from_numpy(graph.constants[name]) for name in graph.nodes[0].inputs[1:])
    channels_second = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    expected = torch.nn.functional.batch_norm(channels_second, mean, variance, gamma, beta, eps=1e-3)
    (found,) = interpret(graph, x)
    np.testing.assert_allclose(found, np.moveaxis(expected.numpy(), 1, -1), rtol=1e-5, atol=1e-5)
