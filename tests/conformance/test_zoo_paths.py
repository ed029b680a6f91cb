"""Every zoo model on every path: torch -> Graph -> ONNX -> ONNX Runtime, and int8 -> {ONNX QDQ, TFLite} -> {ORT, LiteRT}."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from marram.compile import build, device
from marram.compress import fold, quantise
from marram.core.graph import Graph
from marram.data import in_memory
from marram.measure import run
from marram.model import load, zoo
from marram.runtime import runner

SHAPES: dict[str, tuple[int, ...]] = {
    "conv1d": (100, 6),
    "conv_autoencoder": (32, 32, 1),
    "ds_cnn": (49, 10, 1),
    "fc_autoencoder": (160,),
    "mobilenet_v1": (48, 48, 3),
    "mobilenet_v2": (48, 48, 3),
    "resnet8": (32, 32, 3),
    "transformer": (64, 6),
}
SAMPLES = 16
# Runtimes round in other places than the reference. Measured here and written into Evidence, bounded so that a
# mistake in an exporter cannot hide: most steps equal, the rest a few steps off.
LARGEST_STEPS = 6


def settled_module(name: str) -> torch.nn.Module:
    """A zoo model whose batch norms have seen data, in evaluation mode."""
    torch.manual_seed(0)
    module = zoo.make(name, input_shape=SHAPES[name], classes=5, seed=1)
    with torch.no_grad():
        for _ in range(10):
            module(torch.randn(16, *SHAPES[name]))
    return module.eval()


@pytest.fixture(scope="module", params=sorted(SHAPES))
def named_graph(request: pytest.FixtureRequest) -> tuple[str, torch.nn.Module, Graph]:
    module = settled_module(request.param)
    return request.param, module, load(module, example=np.zeros((1, *SHAPES[request.param]), np.float32))


def samples(name: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((SAMPLES, *SHAPES[name])).astype(np.float32)


def test_shapes_cover_the_zoo() -> None:
    assert set(SHAPES) == set(zoo.names())


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_float_programs_agree_with_torch(named_graph: tuple[str, torch.nn.Module, Graph], runtime: str) -> None:
    name, module, graph = named_graph
    program = build(fold(graph), device("host"), runtime=runtime)
    session = runner(program.runtime).open(program)
    inputs = samples(name, seed=2)
    with torch.no_grad():
        expected = module(torch.from_numpy(inputs)).numpy()
    found = np.concatenate([session.run([row[np.newaxis]])[0] for row in inputs])
    session.close()
    assert np.abs(found - expected).max() <= 1e-4 * max(1.0, float(np.abs(expected).max()))


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_int8_programs_stay_with_the_reference(named_graph: tuple[str, torch.nn.Module, Graph], runtime: str) -> None:
    name, _, graph = named_graph
    integer = quantise(fold(graph), samples(name, seed=3))
    program = build(integer, device("host"), runtime=runtime)
    assert program.precision == "int8"
    evidence = run(program, runner(runtime), in_memory(samples(name, seed=4)), graph=integer, calls=30)
    (parity,) = evidence.parity
    assert parity.runtime.startswith(runtime)
    assert parity.vectors == SAMPLES
    assert parity.elements == SAMPLES * int(np.prod(integer.output_tensors[0].shape))
    assert parity.largest <= LARGEST_STEPS, parity
