"""Documents are held to the code: every contract key is documented, every name in the house's page exists."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import msgspec
import pytest

from marram.core import contract

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = [
    contract.ModelSection,
    contract.DataSection,
    contract.ImageInput,
    contract.ImuInput,
    contract.AudioInput,
    contract.TensorInput,
    contract.PromiseSection,
    contract.TrainingSection,
    contract.CompressSection,
    contract.SearchSection,
    contract.TargetSection,
]
ROOMS = "core|sense|data|model|compress|compile|measure|search|bundle|runtime|report|_build|cli"
NAMES = sorted(set(re.findall(rf"`((?:{ROOMS})\.[\w.]+)`", (DOCS / "house.md").read_text())))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_contract_key_is_documented(section: type[msgspec.Struct]) -> None:
    text = (DOCS / "contract.md").read_text()
    missing = [field.encode_name for field in msgspec.structs.fields(section) if f"`{field.encode_name}`" not in text]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_names_in_the_house_exist(name: str) -> None:
    place, _, attribute = f"marram.{name}".rpartition(".")
    assert hasattr(importlib.import_module(place), attribute) or importlib.util.find_spec(f"marram.{name}") is not None


def test_the_house_names_something_in_every_room() -> None:
    assert {name.partition(".")[0] for name in NAMES} >= {"core", "sense", "data", "model", "compress", "bundle", "runtime"}


@pytest.mark.parametrize("path", sorted((DOCS / "adr").glob("*.md")), ids=lambda path: path.stem)
def test_decisions_have_options_and_costs(path: Path) -> None:
    text = path.read_text()
    for heading in ("## Context", "## Options", "## Decision", "## Cost"):
        assert heading in text
