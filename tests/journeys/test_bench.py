"""``marram bench``: any model file, every runtime, one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.journeys.conftest import answer, marram

from marram.compress import quantise
from marram.core.errors import UserError
from marram.model import load, save, zoo


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = load(zoo.make("ds_cnn", input_shape=(25, 10, 1), classes=4).eval(), example=np.zeros((1, 25, 10, 1), np.float32))
    samples = np.random.default_rng(0).standard_normal((32, 25, 10, 1)).astype(np.float32)
    return save(quantise(graph, samples), tmp_path_factory.mktemp("models") / "keywords.tflite")


def test_bench_measures_every_runtime(model: Path) -> None:
    done = marram("bench", str(model), "--calls", "50", "--json")
    assert done.returncode == 0, done.stderr
    result = answer(done)
    assert [row["runtime"] for row in result["rows"]][:2] == ["litert", "onnxruntime"]
    assert result["macs"] > 100_000
    for row in result["rows"]:
        assert 0 < row["p50_us"] <= row["p90_us"] <= row["p99_us"]
        assert row["precision"] == "int8"
        assert row["memory_mib"] > 10
        assert row["parity"]["elements"] == 64 * 4


def test_bench_prints_a_table(model: Path) -> None:
    done = marram("bench", str(model), "--calls", "20")
    assert done.returncode == 0
    assert "litert" in done.stdout


@pytest.mark.parametrize("arguments", [("no.tflite",), ("model.pb",), ("no.tflite", "--device", "cortex-m4")])
def test_what_cannot_be_measured_is_said(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = marram("bench", *arguments, cwd=tmp_path)
    assert done.returncode == UserError.exit_code
    assert "error:" in done.stderr
    assert "Traceback" not in done.stderr
