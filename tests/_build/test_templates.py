"""Templates: their contracts are right, and a project is complete or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from marram._build import templates
from marram.core.contract_file import read
from marram.core.errors import ToolError, UserError
from marram.data import load
from marram.model import zoo

PROJECTS = sorted(path for path in templates._PROJECTS.iterdir() if path.is_dir())


def test_every_template_has_its_data() -> None:
    assert {path.name for path in PROJECTS} == set(templates._DATA)


@pytest.mark.parametrize("folder", PROJECTS, ids=lambda path: path.name)
def test_contracts_of_templates_are_right(folder: Path) -> None:
    contract = read(folder / "marram.toml")
    assert contract.model.source.removeprefix("zoo:") in zoo.names()
    assert contract.promises.accuracy_min is not None


def test_a_project_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(folder: Path) -> Path:
        (folder / "recordings.npz").write_bytes(b"data")
        return folder / "recordings.npz"

    monkeypatch.setitem(templates._DATA, "watch", fetched)
    place = templates.init("watch", tmp_path / "new" / "watch")
    assert {path.name for path in place.iterdir()} == {".gitignore", "README.md", "marram.toml", "recordings.npz"}
    with pytest.raises(UserError, match="a project already"):
        templates.init("watch", place)


def test_a_failed_fetch_leaves_no_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(folder: Path) -> Path:
        raise ToolError("could not be fetched", command="pip download")

    monkeypatch.setitem(templates._DATA, "watch", failing)
    with pytest.raises(ToolError):
        templates.init("watch", tmp_path)
    assert not (tmp_path / "marram.toml").exists()


def test_an_unknown_template_names_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="watch"):
        templates.init("wach", tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(templates._DATA))
def test_the_true_data_is_what_the_contract_names(name: str, tmp_path: Path) -> None:
    folder = templates.init(name, tmp_path / name)
    contract = read(folder / "marram.toml")
    dataset = load(contract.data.source, input_spec=contract.input, base=folder, split_by=contract.data.split_by)
    assert len(dataset.labels) >= 7
