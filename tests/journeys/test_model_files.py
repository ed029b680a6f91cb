"""Builds from model files and factories: ONNX, TFLite, torch, and files with operators that the Graph lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.journeys.conftest import CONTRACT, marram, write_recordings

import marram as package
from marram.compress import fold, quantise
from marram.core.errors import UnsupportedOperator, UserError
from marram.core.graph import Graph
from marram.model import load, save

FACTORY = """
import torch


def net(input_shape, classes, width=8):
    steps, channels = input_shape
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(steps * channels, width), torch.nn.ReLU(), torch.nn.Linear(width, classes)
    )
"""


def project_with(folder: Path, source: str, *, extra: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = CONTRACT.replace("zoo:conv1d", source).replace("accuracy_min = 0.5\n", "").replace("accuracy_drop_max = 0.5", extra)
    (folder / "marram.toml").write_text(text)
    write_recordings(folder / "recordings.npz")
    return folder


def trained_graph(folder: Path) -> Graph:
    """A small dense net for windows of 40 x 3, with weights that a seed decides."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(120, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    return load(module, example=np.zeros((1, 40, 3), np.float32))


def test_a_factory_in_the_project_is_trained(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "net.py:net")
    (folder / "net.py").write_text(FACTORY)
    result = package.build(folder)
    assert result.model.history
    assert result.model.parameters == 120 * 8 + 8 + 8 * 3 + 3


def test_changed_code_of_a_factory_trains_anew(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "net.py:net")
    (folder / "net.py").write_text(FACTORY)
    first = package.build(folder)
    (folder / "net.py").write_text(FACTORY.replace("width=8", "width=6"))
    second = package.build(folder)
    assert first.lineage["model"] != second.lineage["model"]
    assert next(stage for stage in second.stages if stage.name == "training").cached is False
    assert next(stage for stage in second.stages if stage.name == "data").cached is True


def test_an_onnx_file_keeps_its_weights(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "net.onnx")
    graph = trained_graph(folder)
    save(graph, folder / "net.onnx")
    result = package.build(folder)
    assert not result.model.history
    assert result.targets[0].precision == "int8"
    assert "integer graph" in result.lineage


def test_an_integer_tflite_file_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "net.tflite")
    samples = np.random.default_rng(0).standard_normal((64, 40, 3)).astype(np.float32)
    save(quantise(fold(trained_graph(folder)), samples), folder / "net.tflite")
    result = package.build(folder)
    assert result.baseline is None
    assert any("integers already" in mark for mark in result.marks)
    assert {attempt.precision for attempt in result.targets[0].attempts} == {"int8"}


def test_a_drop_that_has_no_float_model_is_not_called_kept(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "net.tflite", extra="accuracy_drop_max = 0.5")
    samples = np.random.default_rng(0).standard_normal((64, 40, 3)).astype(np.float32)
    save(quantise(fold(trained_graph(folder)), samples), folder / "net.tflite")
    result = package.build(folder)
    verdict = next(verdict for verdict in result.targets[0].verdicts if verdict.promise == "accuracy_drop_max")
    assert verdict.kept is None
    assert not result.kept


def opaque_onnx(path: Path) -> None:
    """Flatten, matrix product, then an operator that the Graph does not have."""
    weights = np.random.default_rng(1).standard_normal((120, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], name="flat"),
        helper.make_node("MatMul", ["flat", "w"], ["scores"], name="scores"),
        helper.make_node("Cos", ["scores"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "opaque",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 40, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)


def test_operators_outside_the_graph_still_build_where_the_runtime_takes_them(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "net.onnx")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace('runtime = "litert"\n', ""))
    opaque_onnx(folder / "net.onnx")
    result = package.build(folder)
    assert any("Cos" in mark for mark in result.marks)
    (target,) = result.targets
    assert target.runtime == "onnxruntime"
    assert any("outside the Graph" in mark for mark in target.evidence.marks)
    assert {attempt.precision for attempt in target.attempts} == {"int8", "float32"}


def test_a_microcontroller_refuses_them_by_name(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "net.onnx")
    contract = folder / "marram.toml"
    text = contract.read_text().replace('runtime = "litert"\n', "").replace('"host"', '"cortex-m4"')
    contract.write_text(text.replace("latency_ms = 50", "ram_kib = 24"))
    opaque_onnx(folder / "net.onnx")
    with pytest.raises(UnsupportedOperator, match="Cos"):
        package.build(folder)


def test_a_file_for_other_classes_is_named(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "net.onnx")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(120, 5)).eval()
    save(load(module, example=np.zeros((1, 40, 3), np.float32)), folder / "net.onnx")
    with pytest.raises(UserError, match="3 classes"):
        package.build(folder)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "net.tflite")
    path = save(trained_graph(folder), folder / "net.tflite")
    path.write_bytes(path.read_bytes()[:200])
    done = marram("build", str(folder))
    assert done.returncode == UserError.exit_code
    assert "net.tflite" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_autoencoder_is_built_from_data_without_classes(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "zoo:fc_autoencoder")
    contract = folder / "marram.toml"
    text = contract.read_text().replace('split_by = "subject"\n', "").replace("recordings.npz", "windows.npz")
    contract.write_text(text)
    np.savez(folder / "windows.npz", x=np.random.default_rng(0).standard_normal((200, 40, 3)).astype(np.float32))
    result = package.build(folder)
    accuracy = result.targets[0].evidence.figure("accuracy")
    assert accuracy is not None
    assert accuracy.value is None
    assert result.damage
    assert "no classes" in (folder / "dist" / "report.html").read_text()


def test_an_autoencoder_on_labelled_data_is_refused(tmp_path: Path) -> None:
    folder = project_with(tmp_path, "zoo:fc_autoencoder")
    with pytest.raises(UserError, match="has classes"):
        package.build(folder)
