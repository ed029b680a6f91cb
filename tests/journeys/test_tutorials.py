"""Tutorials and other pages with examples are executed, top to bottom, in an empty folder, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from marram import compress
from marram.core.contract import CompressSection
from marram.core.recipe_file import parse

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = [*sorted((DOCS / "tutorials").glob("*.md")), DOCS / "measuring.md"]
BLOCK = re.compile(r"^```(?P<kind>\w+)(?P<rest>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def run_block(kind: str, rest: str, text: str, folder: Path) -> None:
    title = re.search(r'title="([^"]+)"', rest)
    if title:
        (folder / title[1]).write_text(text)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if kind == "python":
        command = [sys.executable, title[1] if title else "-"]
        given = None if title else text
    elif kind == "sh":
        command, given = ["bash", "-eu"], text
    else:
        return
    run = subprocess.run(
        command, cwd=folder, input=given, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False
    )
    assert run.returncode == 0, f"{text}\n{run.stdout}\n{run.stderr}"


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial(path: Path, tmp_path: Path) -> None:
    blocks = [match for match in BLOCK.finditer(path.read_text()) if "skip" not in match["rest"].split()]
    assert blocks
    for block in blocks:
        run_block(block["kind"], block["rest"], block["text"], tmp_path)


TECHNIQUES = [(match["kind"], match["text"]) for match in BLOCK.finditer((DOCS / "techniques.md").read_text())]
ELSEWHERE = {
    "best", "calibrate", "candidates", "closeness", "describe", "diff", "damage", "importance", "stages", "applied",
    "kernel_slices", "slices", "pairs_of", "unroll", "quantise_by_ranges",
}  # fmt: skip
"""Functions of the room that measure, explain or serve others, and are no technique."""


def test_every_example_of_a_technique_runs(tmp_path: Path) -> None:
    session = "\n".join(text for kind, text in TECHNIQUES if kind == "python")
    run_block("python", "", session, tmp_path)
    for kind, text in TECHNIQUES:
        if kind == "sh":
            run_block(kind, "", text, tmp_path)
    assert {"int8.tflite", "four.tflite", "half.tflite"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "four.tflite").stat().st_size < (tmp_path / "int8.tflite").stat().st_size


def test_every_key_of_a_technique_is_one() -> None:
    texts = [text for kind, text in TECHNIQUES if kind == "toml"]
    assert len(texts) >= 4
    for text in texts:
        keys = tomllib.loads(text)
        if "decisions" in keys:
            assert parse(text, form=".toml", where="techniques.md").decisions
        else:
            assert set(keys) == {"compress"}
            msgspec.convert(keys["compress"], CompressSection)


def test_no_technique_is_left_out() -> None:
    page = (DOCS / "techniques.md").read_text()
    functions = {name for name in compress.__all__ if name.islower()} - ELSEWHERE
    assert not {name for name in functions if not re.search(rf"\bcompress\.{name}\(|`{name}`", page)}
