"""A small project with made-up motion data, so that a whole build takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CONTRACT = """
[model]
name = "shakes"
version = "1.0.0"
source = "zoo:conv1d"

[data]
source = "recordings.npz"
split_by = "subject"
test_fraction = 0.25
validation_fraction = 0.2

[input]
kind = "imu"
channels = ["x", "y", "z"]
rate_hz = 20
window_s = 2.0
stride_s = 1.0

[training]
epochs = 4
batch_size = 16

[compress]
calibration = ["min_max", "mse"]

[promises]
accuracy_min = 0.5
accuracy_drop_max = 0.5

[targets.here]
device = "host"
runtime = "litert"
latency_ms = 50
size_kib = 200
"""

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def write_recordings(path: Path, *, seed: int = 0) -> None:
    """Eight subjects shake three ways: each way has its own frequency and axis."""
    rng = np.random.default_rng(seed)
    signal, lengths, label, group = [], [], [], []
    for subject in range(8):
        for kind in range(3):
            time = np.arange(400) / 20.0
            wave = np.sin(2 * np.pi * (0.5 + 1.5 * kind) * time + rng.uniform(0, 6))
            recording = 0.3 * rng.standard_normal((400, 3))
            recording[:, kind] += wave * rng.uniform(0.8, 1.2)
            signal.append(recording.astype(np.float32))
            lengths.append(400)
            label.append(f"shake-{kind}")
            group.append(f"person-{subject}")
    np.savez(
        path,
        signal=np.concatenate(signal),
        lengths=np.array(lengths),
        label=np.array(label),
        subject=np.array(group),
        channels=np.array(["x", "y", "z"]),
        rate_hz=np.array(20.0),
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder that was never built."""
    folder = tmp_path / "shakes"
    folder.mkdir()
    (folder / "marram.toml").write_text(CONTRACT)
    write_recordings(folder / "recordings.npz")
    return folder


@pytest.fixture(scope="session")
def built_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder that was built once; do not change it."""
    folder = tmp_path_factory.mktemp("built") / "shakes"
    folder.mkdir()
    (folder / "marram.toml").write_text(CONTRACT)
    write_recordings(folder / "recordings.npz")
    done = marram("build", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def marram(*arguments: str, cwd: Path | None = None, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [str(Path(sys.executable).parent / "marram"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=timeout_s, check=False)


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON document on standard output."""
    return json.loads(done.stdout)
