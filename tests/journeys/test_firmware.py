"""From a model to firmware: compile, export, bench, and a contract with a microcontroller, as users walk it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.journeys.conftest import CONTRACT, answer, marram, write_recordings

from marram.compress import quantise
from marram.core.errors import EXIT_BROKEN_PROMISE, ToolError, UserError
from marram.model import interpret, load, save, zoo

WRISTBAND = """
[targets.wristband]
device = "cortex-m4"
latency_ms = 50
ram_kib = 6
flash_kib = 40
energy_uj = 2000
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = load(zoo.make("ds_cnn", input_shape=(25, 10, 1), classes=4).eval(), example=np.zeros((1, 25, 10, 1), np.float32))
    samples = np.random.default_rng(0).standard_normal((32, 25, 10, 1)).astype(np.float32)
    return save(quantise(graph, samples), tmp_path_factory.mktemp("models") / "keywords.tflite")


@pytest.fixture(scope="module")
def wristband(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with this machine and a microcontroller, built once; do not change it."""
    folder = tmp_path_factory.mktemp("wristband") / "shakes"
    folder.mkdir()
    (folder / "marram.toml").write_text(CONTRACT + WRISTBAND)
    write_recordings(folder / "recordings.npz")
    done = marram("build", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_compile_writes_what_a_c_compiler_takes(model: Path, tmp_path: Path) -> None:
    done = marram("compile", str(model), "--device", "cortex-m4", "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    result = answer(done)
    assert result["name"] == "keywords"
    assert result["arena_bytes"] <= result["largest_live_set_bytes"] + 1024
    for file in result["files"]:
        assert (tmp_path / "out" / file).is_file()
    strict = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-c", "keywords.c", "-o", "keywords.o"]
    subprocess.run(strict, cwd=tmp_path / "out", check=True)


def test_compile_for_a_stream_says_what_it_keeps_and_saves(model: Path, tmp_path: Path) -> None:
    done = marram("compile", str(model), "--stream-rows", "2", "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    result = answer(done)
    stream = result["stream"]
    assert (stream["rows"], stream["window_rows"], stream["warm_up_pushes"]) == (2, 25, 13)
    assert stream["macs"] == result["macs"] < stream["window_macs"]
    assert stream["padded"] is True
    assert f"#define KEYWORDS_STREAM_STATE_BYTES {stream['state_bytes']}u" in (tmp_path / "out" / "keywords.h").read_text()
    strict = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-c", "keywords.c", "keywords_self_test.c"]
    subprocess.run(strict, cwd=tmp_path / "out", check=True)
    refused = marram("compile", str(model), "--stream-rows", "3", "--out", str(tmp_path / "out"))
    assert refused.returncode == UserError.exit_code
    assert "Push a multiple of 2 rows at a time." in refused.stderr


def test_an_arena_that_is_too_small_names_the_smallest(model: Path, tmp_path: Path) -> None:
    done = marram("compile", str(model), "--arena-kib", "0.5", "--out", str(tmp_path / "out"))
    assert done.returncode == UserError.exit_code
    assert "cannot be smaller than" in done.stderr
    assert not (tmp_path / "out").exists()


def test_for_a_machine_with_an_operating_system_it_is_a_native_library(model: Path, tmp_path: Path) -> None:
    done = marram("compile", str(model), "--device", "host", "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    assert answer(done)["family"] == "host"
    library = ["gcc", "-std=gnu11", "-O2", "-march=native", "-fPIC", "-shared", "keywords.c", "-o", "libkeywords.so"]
    subprocess.run(library, cwd=tmp_path / "out", check=True)


def test_a_float_model_is_told_to_quantise(tmp_path: Path) -> None:
    graph = load(zoo.make("fc_autoencoder", input_shape=(12,), hidden=8, depth=1).eval(), example=np.zeros((1, 12), np.float32))
    path = save(graph, tmp_path / "float.onnx")
    done = marram("compile", str(path), "--out", str(tmp_path / "out"))
    assert done.returncode == UserError.exit_code
    assert "uantise" in done.stderr


@pytest.mark.parametrize("ecosystem", ["cmake", "arduino", "platformio", "zephyr"])
def test_export_writes_a_folder_with_the_sources(model: Path, tmp_path: Path, ecosystem: str) -> None:
    out = tmp_path / "out"
    done = marram("export", str(model), "--for", ecosystem, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in out.rglob("*") if path.is_file()}
    assert {"keywords.c", "keywords.h", "keywords_self_test.c", "keywords_self_test.h", "README.md"} <= names
    again = marram("export", str(model), "--for", ecosystem, "--out", str(out))
    assert again.returncode == UserError.exit_code
    assert "not empty" in again.stderr


def test_the_cmake_folder_builds_and_answers_as_the_reference(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert marram("export", str(model), "--for", "cmake", "--out", str(out)).returncode == 0
    sample = np.random.default_rng(3).integers(-128, 128, (1, 25, 10, 1)).astype(np.int8)
    (expected,) = interpret(load(model), [sample])
    values = ",".join(str(value) for value in sample.ravel().tolist())
    (out / "main.c").write_text(
        f'#include "keywords.h"\n#include <stdio.h>\nstatic const int8_t in[] = {{{values}}};\n'
        "int main(void) { int8_t out[KEYWORDS_OUTPUT0_SIZE]; if (keywords_run(in, out) != MARRAM_OK) return 1;\n"
        'for (unsigned i = 0; i < KEYWORDS_OUTPUT0_SIZE; i++) printf("%d ", out[i]); return 0; }\n'
    )
    build = ["gcc", "-O1", "-fsanitize=address,undefined", "-Iinclude", "main.c", "src/keywords.c", "-o", "main"]
    subprocess.run(build, cwd=out, check=True)
    said = subprocess.run([str(out / "main")], capture_output=True, text=True, check=True).stdout
    assert [int(word) for word in said.split()] == expected.ravel().tolist()


def test_bench_counts_on_an_emulated_core(model: Path) -> None:
    first, second = (marram("bench", str(model), "--device", "cortex-m4", "--json") for _ in range(2))
    assert first.returncode == 0, first.stderr
    result = answer(first)
    assert result["instructions"] == answer(second)["instructions"] == sum(row["instructions"] for row in result["layers"])
    assert result["instructions_per_mac"] < 3
    for size in ("ram_bytes", "flash_bytes"):
        assert result[size]["predicted"] == result[size]["measured"] > 0
    assert result["stack_bytes"]["measured"] <= result["stack_bytes"]["predicted"]
    assert {row["differing"] for row in result["parity"]} == {0}
    assert len(result["parity"]) == 3


def test_bench_of_a_stream_counts_a_push(model: Path) -> None:
    done = marram("bench", str(model), "--device", "cortex-m4", "--stream-rows", "2", "--json")
    assert done.returncode == 0, done.stderr
    result = answer(done)
    assert result["instructions"] < result["stream"]["window_instructions"]
    assert result["macs"] == result["stream"]["record"]["macs"]
    assert {row["differing"] for row in result["parity"]} == {0}
    assert len(result["parity"]) == 3


def test_a_contract_s_microcontroller_is_proven(wristband: Path) -> None:
    done = marram("build", str(wristband), "--json")
    assert done.returncode == 0
    result = answer(done)
    assert result["up_to_date"]
    target = next(row for row in result["targets"] if row["name"] == "wristband")
    assert (target["runtime"], target["precision"]) == ("c", "int8")
    assert {row["differing"] for row in target["evidence"]["parity"]} == {0}
    assert len(target["evidence"]["parity"]) == 3
    assert {verdict["promise"] for verdict in target["verdicts"]} >= {"latency_ms", "ram_kib", "flash_kib", "energy_uj"}
    assert all(verdict["kept"] for verdict in target["verdicts"])
    assert sum(row["instructions"] for row in target["evidence"]["layers"]) > 0
    assert target["memory_plan"].startswith("<svg")
    text = (wristband / "dist" / "report.html").read_text()
    assert "On the microcontroller" in text
    assert "thousands of instructions" in text


def test_its_bundle_is_verified_run_and_exported(wristband: Path, tmp_path: Path) -> None:
    bundle = wristband / "dist" / "wristband.mrm"
    done = marram("verify", str(bundle), "--json")
    assert done.returncode == 0, done.stderr
    checks = {check["name"]: check["result"] for check in answer(done)["checks"]}
    assert " 0 of " in checks["golden vectors on cortex-m4"]
    sample = tmp_path / "window.npy"
    np.save(sample, np.zeros((40, 3), np.float32))
    said = marram("run", str(bundle), "--input", str(sample), "--json")
    assert said.returncode == 0, said.stderr
    assert answer(said)[0]["label"].startswith("shake-")
    out = marram("export", str(bundle), "--for", "zephyr", "--out", str(tmp_path / "out"), "--json")
    assert out.returncode == 0, out.stderr
    assert answer(out)["name"] == "shakes"


def test_a_budget_that_cannot_be_met_names_the_nearest(wristband: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shakes"
    subprocess.run(["cp", "-r", str(wristband), str(folder)], check=True)
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace("ram_kib = 6", "ram_kib = 0.2"))
    done = marram("build", str(folder), "--json")
    assert done.returncode == EXIT_BROKEN_PROMISE
    target = next(row for row in answer(done)["targets"] if row["name"] == "wristband")
    broken = [verdict["promise"] for verdict in target["verdicts"] if not verdict["kept"]]
    assert broken == ["ram_kib"]
    assert any("The nearest budget that can be: ram_kib = " in note for note in target["memory_notes"])


def test_a_missing_cross_compiler_says_what_to_install(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command: Callable[..., subprocess.CompletedProcess[str]] = marram
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("bench", str(model), "--device", "cortex-m4")
    assert done.returncode == ToolError.exit_code
    assert "scripts/system-packages mcu" in done.stderr
