"""Every zoo model becomes C of every family that gives the reference's bytes and has no finding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.hosting import OPTIMISED, SANITISED, Host, differing
from tests.compile.c.int16_graphs import vectors
from tests.compile.c.linting import findings
from tests.compile.c.zoo_models import NAMES, integer_model

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.core.operators import Dequantise, LayerNorm
from marram.model import load

PUBLISHED = {"ad": "ad01_int8", "kws": "kws_ref_model", "vww": "vww_96_int8", "ic": "pretrainedResnet_quant"}
HOST = ("-O3", "-march=native")


def made_of(name: str, family: str = "portable") -> Generated:
    return generate(integer_model(name), FAMILIES[family], name=name)


def test_short(tmp_path: Path) -> None:
    made = made_of("transformer")
    (tensor,) = made.graph.input_tensors
    extremes = [np.full((1, *tensor.shape[1:]), value, np.int8) for value in (-128, 127, 0)]
    given = [np.concatenate([*extremes, *vectors(made.graph, 6, seed=1)])]
    (found,) = Host([made], tmp_path, flags=SANITISED).run([given])
    assert not differing(made, given, found)


def test_float_islands_become_integers() -> None:
    graph = integer_model("transformer")
    assert any(isinstance(node.op, Dequantise) for node in graph.nodes)
    lowered = made_of("transformer").graph
    assert not any(isinstance(node.op, Dequantise) for node in lowered.nodes)
    norms = [node for node in lowered.nodes if isinstance(node.op, LayerNorm)]
    assert len(norms) == sum(isinstance(node.op, LayerNorm) for node in graph.nodes)
    assert {lowered.tensors[node.outputs[0]].dtype for node in norms} == {"int8"}


@pytest.mark.soak
@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("name", NAMES)
def test_many_vectors(name: str, family: str, tmp_path: Path) -> None:
    made = made_of(name, family)
    host = Host([made], tmp_path, flags=HOST if family == "host" else OPTIMISED)
    for seed in range(10):
        given = vectors(made.graph, 1000, seed=seed)
        (found,) = host.run([given])
        assert not differing(made, given, found)


@pytest.mark.soak
@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("name", NAMES)
def test_lint(name: str, family: str, tmp_path: Path) -> None:
    assert findings(made_of(name, family), tmp_path) == []


@pytest.mark.soak
@pytest.mark.shared_data
@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("name", PUBLISHED)
def test_lint_of_the_published_models(name: str, family: str, shared_data: Path | None, tmp_path: Path) -> None:
    path = shared_data and shared_data / "mlperf_tiny" / f"{PUBLISHED[name]}.tflite"
    if path is None or not path.is_file():
        return
    assert findings(generate(load(path), FAMILIES[family], name=name), tmp_path) == []
