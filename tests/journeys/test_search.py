"""A contract with a search: built, told, repeated byte for byte by other engines, killed, and asked for the impossible."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.journeys.conftest import CONTRACT, answer, marram, write_recordings

import marram as package
from marram._build.job import plan
from marram.bundle import open as open_bundle
from marram.bundle import public_key
from marram.core.errors import UserError
from marram.search.engines import Engine, processes, ray, serial

pytestmark = pytest.mark.xdist_group("searched")  # one worker makes the project that all of these look at

SEARCH = """
[targets.wristband]
device = "cortex-m4"
ram_kib = 6
latency_ms = 10

[search]
epochs = 4
trials = 12
population = 6
finalists = 2
finish_epochs = 2
widths = [0.5, 0.75, 1.0]
"""


def searching(folder: Path, reference: Path | None = None) -> Path:
    folder.mkdir()
    (folder / "marram.toml").write_text(CONTRACT + SEARCH)
    write_recordings(folder / "recordings.npz")
    if reference is not None:
        (folder / ".marram").mkdir()
        for name in ("signing.key", "signing.key.pub"):
            shutil.copy(reference / ".marram" / name, folder / ".marram" / name)
    return folder


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was built with a search in one process; do not change it."""
    folder = searching(tmp_path_factory.mktemp("searched") / "shakes")
    done = marram("build", "--engine", "serial", str(folder), timeout_s=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_search_is_told_and_its_model_sealed(searched: Path) -> None:
    result = package.build(searched)
    assert result.up_to_date
    assert result.search is not None
    assert {part.target for part in result.search.parts} == {"here", "wristband"}
    for target in result.targets:
        chosen = [model for model in result.search.models if model.fates.get(target.name) == "chosen"]
        sealed = open_bundle(searched / target.bundle, [public_key(searched / "dist" / "signing.pub")])
        if chosen:
            assert sealed.recipe == chosen[0].recipe
        assert sum(attempt.chosen for attempt in target.attempts) == 1
    page = (searched / "dist" / "report.html").read_text()
    assert page.count('class="dot"') >= 24
    assert ("Ruled out" in page) == any(part.excess for part in result.search.parts)


def test_foretold_prices_are_those_that_were_measured(searched: Path) -> None:
    result = package.build(searched)
    assert result.search is not None
    (target,) = (target for target in result.targets if target.name == "wristband")
    numbers = [number for number, model in enumerate(result.search.models) if model.fates.get("wristband") == "chosen"]
    if not numbers:
        pytest.fail("no model was chosen for the wristband")
    (part,) = (part for part in result.search.parts if part.target == "wristband" and part.finalist == numbers[0])
    counted = target.evidence.figure("instructions")
    assert counted is not None
    assert counted.value == pytest.approx(part.prices["instructions"], rel=0.05)


@pytest.mark.parametrize("engine", [lambda: processes(2), lambda: ray("local", workers=2)], ids=["processes", "ray"])
def test_other_engines_make_the_same_bytes(searched: Path, tmp_path: Path, engine) -> None:
    folder = searching(tmp_path / "shakes", searched)
    made: Engine
    with engine() as made:
        package.build(folder, engine=made)
    for name in ("here.mrm", "wristband.mrm"):
        assert (folder / "dist" / name).read_bytes() == (searched / "dist" / name).read_bytes()


def test_a_search_that_was_killed_goes_on(searched: Path, tmp_path: Path) -> None:
    folder = searching(tmp_path / "shakes", searched)
    command = [str(Path(sys.executable).parent / "marram"), "build", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "search" in line and "trials" in line:
            break
    time.sleep(0.5)
    process.kill()
    process.communicate()
    kept = len(list((folder / ".marram" / "cache").rglob("*")))
    with serial() as engine:
        package.build(folder, engine=engine)
    assert kept > 4
    for name in ("here.mrm", "wristband.mrm"):
        assert (folder / "dist" / name).read_bytes() == (searched / "dist" / name).read_bytes()


def test_ctrl_c_leaves_no_worker_behind(tmp_path: Path) -> None:
    folder = searching(tmp_path / "shakes")
    command = [str(Path(sys.executable).parent / "marram"), "build", "--workers", "2", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "search" in line and "trials" in line:
            break
    workers = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert workers
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in rest
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_an_impossible_budget_is_proven_so_and_exit_code_one(searched: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(searched, tmp_path / "shakes")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace("latency_ms = 10", "latency_ms = 0.02"))
    done = marram("build", "--json", str(folder), timeout_s=600)
    assert done.returncode == 1, done.stderr
    verdict = answer(done)["search"]["verdicts"]["wristband"]
    assert verdict["kind"] == "proven"
    assert verdict["binding"] == ["latency_ms"]
    assert verdict["bound"] > verdict["budget"] == 0.02
    assert answer(done)["search"]["verdicts"]["here"] is None


def test_a_target_of_another_name_has_its_models(searched: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(searched, tmp_path / "shakes")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace("targets.wristband", "targets.bracelet"))
    before, result = package.build(searched), package.build(folder)
    assert before.search is not None
    assert result.search is not None
    errors = {
        name: [part.error for part in one.parts if part.target == name]
        for name, one in (("wristband", before.search), ("bracelet", result.search))
    }
    assert errors["bracelet"] == errors["wristband"] != []


def test_a_dry_run_finishes_no_models(searched: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(searched, tmp_path / "shakes")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace("finish_epochs = 2", "finish_epochs = 3"))
    *done, last, rest = plan(folder)
    assert all(stage.cached for stage in done)
    assert (last.name, last.cached, rest.cached) == ("models of shakes", False, False)


@pytest.mark.parametrize(
    ("families", "told"),
    [
        ('["zoo:conv1d", "zoo:conv1d"]', "twice"),
        ('["zoo:fc_autoencoder"]', "zoo:fc_autoencoder"),
        ('["net.py:make"]', "net.py:make"),
    ],
)
def test_families_without_parts_are_told_before_any_training(tmp_path: Path, families: str, told: str) -> None:
    folder = searching(tmp_path / "shakes")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text() + f"families = {families}\n")
    with pytest.raises(UserError, match=told):
        package.build(folder)
    assert not (folder / ".marram" / "checkpoints").exists()


def test_budgets_that_contradict_the_input_are_told_before_any_work(searched: Path, tmp_path: Path) -> None:
    folder = searching(tmp_path / "shakes")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace("ram_kib = 6", "ram_kib = 0.1"))
    started = time.monotonic()
    done = marram("build", str(folder))
    assert done.returncode != 0
    assert "ram_kib = 0.1" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 20
