"""Has anything changed? Answered without reading data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from marram._build.fingerprint import fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2")
    (tmp_path / "marram.toml").write_text("x = 1")
    return tmp_path


def test_equal_until_something_changes(folder: Path) -> None:
    before = fingerprint(folder, (), code="1")
    assert fingerprint(folder, (), code="1") == before
    assert fingerprint(folder, (), code="2") != before
    (folder / "data" / "a.csv").write_text("1,2,3")
    assert fingerprint(folder, (), code="1") != before


def test_a_new_time_counts_as_a_change(folder: Path) -> None:
    before = fingerprint(folder, (), code="1")
    os.utime(folder / "data" / "a.csv", ns=(1, 1))
    assert fingerprint(folder, (), code="1") != before


def test_what_a_build_writes_does_not_count(folder: Path) -> None:
    before = fingerprint(folder, (), code="1")
    for name in (".marram", "dist", "__pycache__"):
        (folder / name).mkdir()
        (folder / name / "x").write_text("y")
    assert fingerprint(folder, (), code="1") == before


def test_sources_outside_count(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    before = fingerprint(folder, (outside,), code="1")
    (outside / "b.png").write_bytes(b"1")
    assert fingerprint(folder, (outside,), code="1") != before
