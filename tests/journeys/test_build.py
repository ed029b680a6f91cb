"""The main job as a user runs it."""

from __future__ import annotations

import json
import resource
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.journeys.conftest import answer, marram

import marram as package
from marram._build.job import plan
from marram.core.codec import decode
from marram.core.errors import IntegrityError, UserError
from marram.core.evidence import Evidence

pytestmark = pytest.mark.xdist_group("built")  # one worker makes the project that all of these look at


def test_build_makes_a_bundle_a_report_and_a_table(built_project: Path) -> None:
    done = marram("build", str(built_project))
    assert done.returncode == 0
    assert "Nothing has changed" in done.stdout
    assert "accuracy_min" in done.stdout
    assert (built_project / "dist" / "here.mrm").is_file()
    assert "<svg" in (built_project / "dist" / "report.html").read_text()


def test_a_second_build_does_nothing_in_under_two_seconds(built_project: Path) -> None:
    before = (built_project / "dist" / "here.mrm").stat().st_mtime_ns
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = marram("build", str(built_project), "--json")
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    # the processor's time: other tests run beside this one, and it is what the wall clock shows on a free core
    assert end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime < 2.0
    assert answer(done)["up_to_date"] is True
    assert (built_project / "dist" / "here.mrm").stat().st_mtime_ns == before


def test_json_is_one_document_and_figures_are_there(built_project: Path) -> None:
    result = answer(marram("build", str(built_project), "--json"))
    (target,) = result["targets"]
    figures = {figure["name"]: figure for figure in target["evidence"]["figures"]}
    assert figures["accuracy"]["value"] > 0.5
    assert figures["accuracy"]["low"] < figures["accuracy"]["value"]
    assert figures["latency_p90_us"]["deterministic"] is False
    assert all(verdict["kept"] for verdict in target["verdicts"])
    assert {attempt["precision"] for attempt in target["attempts"]} == {"int8", "float32"}
    assert target["evidence"]["parity"][0]["elements"] > 0


def test_a_dry_run_seals_nothing(built_project: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built_project, tmp_path / "shakes")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text() + "# a remark that every bundle carries\n")
    before = {path: path.read_bytes() for path in (folder / "dist").iterdir()}
    *done, last, _ = plan(folder)
    assert all(stage.cached for stage in done)
    assert (last.name, last.cached) == ("bundle here", False)
    assert {path: path.read_bytes() for path in (folder / "dist").iterdir()} == before


def test_dry_run_changes_nothing(project: Path) -> None:
    before = sorted(path.name for path in project.iterdir())
    stages = answer(marram("build", str(project), "--dry-run", "--json"))
    assert stages[0]["cached"] is False
    assert not (project / "dist").exists()
    assert sorted(path.name for path in project.iterdir() if path.name != ".marram") == before


def test_a_deleted_bundle_is_made_again_from_the_cache(built_project: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built_project, tmp_path / "copy")
    data = (folder / "dist" / "here.mrm").read_bytes()
    (folder / "dist" / "here.mrm").unlink()
    result = package.build(folder)
    assert not result.up_to_date
    assert all(stage.cached for stage in result.stages)
    assert (folder / "dist" / "here.mrm").read_bytes() == data


def test_a_changed_promise_rebuilds_only_what_depends_on_it(built_project: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built_project, tmp_path / "copy")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace("accuracy_min = 0.5", "accuracy_min = 0.9999"))
    result = package.build(folder)
    assert {stage.name for stage in result.stages if stage.name in {"training", "compression"} and not stage.cached} == set()


def test_a_broken_promise_is_exit_code_one(built_project: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built_project, tmp_path / "copy")
    contract = folder / "marram.toml"
    contract.write_text(contract.read_text().replace("size_kib = 200", "size_kib = 0.5\nenergy_uj = 1"))
    done = marram("build", str(folder), "--json")
    assert done.returncode == 1
    kept = {verdict["promise"]: verdict["kept"] for verdict in answer(done)["targets"][0]["verdicts"]}
    assert kept["size_kib"] is False
    assert kept["energy_uj"] is None
    assert kept["accuracy_min"] is True


def test_two_builds_of_equal_projects_differ_in_nothing_but_their_key(project: Path, built_project: Path) -> None:
    (project / ".marram").mkdir()
    for name in ("signing.key", "signing.key.pub"):
        shutil.copy(built_project / ".marram" / name, project / ".marram" / name)
    contract = (project / "marram.toml").read_text()
    assert contract == (built_project / "marram.toml").read_text()
    result = package.build(project)
    assert result.targets[0].precision == "int8"
    assert differing_members(project, built_project) == {}


def differing_members(one: Path, other: Path) -> dict[str, tuple[object, object]]:
    """Members of two bundles that are not equal; the bundles must be equal too if none is."""
    files = [folder / "dist" / "here.mrm" for folder in (one, other)]
    first, second = (zipfile.ZipFile(path) for path in files)
    assert first.namelist() == second.namelist()
    pairs = {name: (first.read(name), second.read(name)) for name in first.namelist()}
    found: dict[str, tuple[object, object]] = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if "evidence.msgpack" in found:
        shown = [decode(data, Evidence) for data in pairs["evidence.msgpack"]]
        found["evidence.msgpack"] = (shown[0], shown[1])
    assert found or files[0].read_bytes() == files[1].read_bytes()
    return found


def test_verify_proves_the_bundle_again(built_project: Path) -> None:
    done = marram("verify", str(built_project / "dist" / "here.mrm"), "--json")
    assert done.returncode == 0, done.stderr
    proof = answer(done)
    assert {check["name"] for check in proof["checks"]} >= {"signature", "golden vectors", "accuracy"}
    assert all(verdict["kept"] for verdict in proof["verdicts"])


def test_verify_refuses_a_changed_bundle(built_project: Path, tmp_path: Path) -> None:
    data = bytearray((built_project / "dist" / "here.mrm").read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "bad.mrm"
    path.write_bytes(data)
    done = marram("verify", str(path), "--trust", str(built_project / "dist" / "signing.pub"))
    assert done.returncode == IntegrityError.exit_code


def test_a_bundle_from_elsewhere_needs_a_named_key(built_project: Path, tmp_path: Path) -> None:
    path = shutil.copy(built_project / "dist" / "here.mrm", tmp_path / "here.mrm")
    done = marram("verify", str(path), "--json")
    assert done.returncode == UserError.exit_code
    assert "--trust" in answer(done)["error"]["hint"]


def test_run_answers_for_files(built_project: Path, tmp_path: Path) -> None:
    window = np.zeros((40, 3), np.float32)
    window[:, 1] = np.sin(2 * np.pi * 2.0 * np.arange(40) / 20.0)
    np.save(tmp_path / "window.npy", window)
    np.savetxt(tmp_path / "window.csv", window, delimiter=",")
    bundle = str(built_project / "dist" / "here.mrm")
    done = marram("run", bundle, "--input", str(tmp_path / "window.npy"), "--input", str(tmp_path / "window.csv"), "--json")
    first, second = answer(done)
    assert first["scores"] == second["scores"]
    assert set(first["scores"]) == {"shake-0", "shake-1", "shake-2"}


def test_run_names_a_sample_of_the_wrong_shape(built_project: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "window.npy", np.zeros((40, 2), np.float32))
    done = marram("run", str(built_project / "dist" / "here.mrm"), "--input", str(tmp_path / "window.npy"))
    assert done.returncode == UserError.exit_code
    assert "Traceback" not in done.stderr


def test_mistakes_in_the_contract_come_all_at_once(project: Path) -> None:
    contract = project / "marram.toml"
    contract.write_text(contract.read_text().replace("split_by", "splitby").replace("rate_hz = 20", "rate_hz = 0"))
    done = marram("build", str(project))
    assert done.returncode == UserError.exit_code
    assert "split_by" in done.stderr
    assert "input.rate_hz" in done.stderr
    assert "Traceback" not in done.stderr


def test_report_needs_a_build(project: Path) -> None:
    done = marram("report", str(project))
    assert done.returncode == UserError.exit_code
    assert "marram build" in done.stderr


@pytest.mark.parametrize("command", ["doctor", "devices"])
def test_lists_are_json_too(command: str) -> None:
    done = marram(command, "--json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) > 3


def test_one_build_at_a_time(project: Path) -> None:
    from marram._build.project import exclusive, find_project

    with exclusive(find_project(project)), pytest.raises(UserError, match="another build"):
        package.build(project)


def test_damaged_cache_is_made_again(built_project: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built_project, tmp_path / "copy")
    for path in (folder / ".marram" / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    (folder / ".marram" / "result.mp").write_bytes(b"nonsense")
    result = package.build(folder)
    ran = [stage.name for stage in result.stages if not stage.cached]
    assert set(ran) == {stage.name for stage in result.stages}
    assert result.lineage["model"] == package.build(built_project).lineage["model"]
