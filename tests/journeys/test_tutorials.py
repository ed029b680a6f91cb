"""Tutorials are executed, top to bottom, in an empty folder, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))
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
