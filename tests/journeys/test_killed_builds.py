"""Kill -9 at random moments of a build: the next one completes and is equal."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import marram as package

pytestmark = pytest.mark.xdist_group("built")  # one worker makes the project that all of these look at


def kill_builds(project: Path, reference: Path, *, kills: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    command = [str(Path(sys.executable).parent / "marram"), "build", str(project)]
    (project / ".marram").mkdir()
    for name in ("signing.key", "signing.key.pub"):
        shutil.copy(reference / ".marram" / name, project / ".marram" / name)
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 6.0))
        process.kill()
        process.wait()
        if rng.random() < 0.4:  # start over, so that early moments are met as often as late ones
            shutil.rmtree(project / ".marram" / "cache", ignore_errors=True)
            shutil.rmtree(project / ".marram" / "checkpoints", ignore_errors=True)
            shutil.rmtree(project / "dist", ignore_errors=True)
    result = package.build(project)
    assert result.lineage == package.build(reference).lineage, f"seed {seed}"
    assert (project / "dist" / "here.mrm").read_bytes() == (reference / "dist" / "here.mrm").read_bytes(), f"seed {seed}"
    assert not list(project.rglob("*.part"))


def test_a_killed_build_is_completed_to_the_same_bytes(project: Path, built_project: Path) -> None:
    kill_builds(project, built_project, kills=4, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_fifty_kills(project: Path, built_project: Path) -> None:
    kill_builds(project, built_project, kills=50, seed=2)


def test_ctrl_c_ends_with_130_and_the_next_build_completes(project: Path, built_project: Path) -> None:
    import signal

    command = [str(Path(sys.executable).parent / "marram"), "build", str(project)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "training" in line:
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert package.build(project).lineage["model"] == package.build(built_project).lineage["model"]
