"""Every example runs as its first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("[0-9]*.py"))
SAYS = {"01": "tiny.onnx", "02": "outputs differ", "03": "answer: stroke"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path) -> None:
    arguments = [] if path.stem.startswith("02") else [str(tmp_path / "out")]
    run = subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    assert SAYS[path.stem[:2]] in run.stdout
