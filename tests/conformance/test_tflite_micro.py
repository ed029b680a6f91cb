"""The integer reference against TensorFlow Lite Micro: no differing byte, by operator, by graph, by model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.model.graphs import TFLM_OPERATORS, integer_graphs, samples

from marram.core.graph import Array, Graph
from marram.core.operators import Quantise
from marram.model.reference import interpret
from marram.model.spec import verify
from marram.model.tflite import read, write

ARENA_BYTES = 4 << 20
SETTINGS = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck)}


def micro(blob: bytes, graph: Graph, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """What TFLM computes, sample by sample."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(blob, arena_size=ARENA_BYTES)
    outputs: list[list[Array]] = [[] for _ in graph.outputs]
    for sample in range(len(inputs[0]) // graph.input_tensors[0].shape[0]):
        for index, (array, tensor) in enumerate(zip(inputs, graph.input_tensors, strict=True)):
            size = tensor.shape[0]
            interpreter.set_input(array[sample * size : (sample + 1) * size], index)
        interpreter.invoke()
        for index, collected in enumerate(outputs):
            collected.append(interpreter.get_output(index).copy())
    return tuple(np.concatenate(collected) for collected in outputs)


def assert_same(graph: Graph, *, count: int, seed: int) -> None:
    """The reference and TFLM give the same bytes."""
    verify(graph, "integer")
    inputs = samples(graph, count, seed=seed)
    ours, theirs = interpret(graph, inputs), micro(write(graph), graph, inputs)
    for name, mine, other in zip(graph.outputs, ours, theirs, strict=True):
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape), name
        assert mine.tobytes() == other.tobytes(), f"{name}: {int((mine != other).sum())} of {mine.size} differ"


@pytest.mark.parametrize("kind", sorted(TFLM_OPERATORS, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_each_operator_agrees(kind: type) -> None:
    @settings(max_examples=25, **SETTINGS)
    @given(graph=integer_graphs(operators={kind, Quantise}, most_nodes=2), seed=st.integers(0, 1000))
    def check(graph: Graph, seed: int) -> None:
        assert_same(graph, count=4, seed=seed)

    check()


@settings(max_examples=200, **SETTINGS)
@given(graph=integer_graphs(), seed=st.integers(0, 1000))
def test_random_graphs_agree(graph: Graph, seed: int) -> None:
    assert_same(graph, count=3, seed=seed)


@pytest.mark.soak
@settings(max_examples=5000, **{**SETTINGS, "derandomize": False, "print_blob": True})
@given(graph=integer_graphs(most_nodes=10), seed=st.integers(0, 1000))
def test_many_random_graphs_agree(graph: Graph, seed: int) -> None:
    assert_same(graph, count=4, seed=seed)


def natural(graph: Graph, count: int, *, seed: int) -> Array:
    """Samples as sensors give them: smooth in space and time, of many contrasts, some clipped."""
    rng = np.random.default_rng(seed)
    tensor = graph.input_tensors[0]
    waves = np.zeros((count, *tensor.shape[1:]))
    for axis in range(1, len(tensor.shape)):
        size = tensor.shape[axis]
        form = [1] * len(tensor.shape)
        form[0], form[axis] = count, size
        phase = rng.uniform(0, 6, (count, 1)) + np.arange(size) * rng.uniform(0.01, 0.5, (count, 1))
        waves = waves + np.sin(phase).reshape(form)
    contrast = rng.uniform(5, 120, (count, *(1,) * (len(tensor.shape) - 1)))
    noise = rng.normal(size=waves.shape) * 4
    offset = rng.uniform(-60, 60, contrast.shape)
    return np.clip(np.rint(contrast * waves / 2 + noise + offset), -128, 127).astype(np.int8)


def published(shared_data: Path | None) -> list[Path]:
    """The MLPerf Tiny int8 files, where they are at hand."""
    names = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8")
    return [] if shared_data is None else [shared_data / "mlperf_tiny" / f"{name}.tflite" for name in names]


def assert_published_agree(shared_data: Path | None, count: int) -> None:
    for path in published(shared_data):
        graph = read(path, name=path.stem)
        for inputs in (samples(graph, count, seed=1)[0], natural(graph, count, seed=2)):
            (ours,) = interpret(graph, inputs)
            (theirs,) = micro(path.read_bytes(), graph, (inputs,))
            assert ours.tobytes() == theirs.tobytes(), f"{path.name}: {int((ours != theirs).sum())} of {ours.size} differ"
            exported = write(graph)
            (again,) = interpret(read(exported, name=path.stem), inputs)
            assert again.tobytes() == ours.tobytes(), f"{path.name} after export and import"
            (abroad,) = micro(exported, graph, (inputs,))
            assert abroad.tobytes() == ours.tobytes(), f"{path.name} as exported, in TFLM"


def test_published_models_agree(shared_data: Path | None) -> None:
    assert_published_agree(shared_data, 25)


@pytest.mark.soak
@pytest.mark.shared_data
def test_published_models_agree_on_many_inputs(shared_data: Path | None) -> None:
    assert_published_agree(shared_data, 1000)
