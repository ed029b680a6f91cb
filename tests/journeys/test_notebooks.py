"""Notebooks are executed, cell after cell, in a fresh process: nothing of jupyter is needed for that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("notebooks")  # one worker runs each notebook, and all look at its end

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

RUNNER = """
import json, sys
space = {"__name__": "__main__"}
for number, text in enumerate(json.load(open(sys.argv[1]))):
    exec(compile(text, f"code cell {number}", "exec"), space)
print("END", json.dumps(eval(sys.argv[2], space)))
"""

END = {
    "front": """{
        "kept": result.kept,
        "front": [(part.prices[cost], part.error) for part in front],
        "parts": [(part.prices[cost], part.error) for part in estimated],
        "other": other in front and other.finalist != chosen_number,
        "dots": drawing.svg.count('class="dot"'),
        "looked_at": len(search.parts),
        "explained": len(told.decisions) == len(chosen.recipe.decisions),
        "without": list(changes.decisions),
        "kind": answer.kind,
        "binding": list(answer.binding),
        "bound": answer.bound,
        "impossible_kept": impossible.kept,
        "refusal": refusal,
    }"""
}
"""By notebook what its variables are to be in the end, as an expression that JSON can hold."""


def code_cells(path: Path) -> list[str]:
    """The code of a notebook in order; nothing that a cell printed is stored with it."""
    notebook = json.loads(path.read_text())
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    return ["".join(cell["source"]) for cell in cells]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The end of ``front.ipynb``."""
    return end_of("front", tmp_path_factory.mktemp("front"))


def end_of(name: str, folder: Path) -> dict:
    (folder / "cells.json").write_text(json.dumps(code_cells(FOLDER / f"{name}.ipynb")))
    command = [sys.executable, "-c", RUNNER, "cells.json", END[name].replace("\n", " ").strip()]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    return json.loads(run.stdout.rsplit("END ", 1)[1])


def test_each_notebook_is_executed_here() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(END)


def test_the_front_is_what_no_part_dominates(front: dict) -> None:
    assert front["kept"]
    assert len(front["front"]) >= 2
    for cost, error in front["front"]:
        assert not any(a <= cost and b <= error and (a, b) != (cost, error) for a, b in front["parts"])
    assert front["other"]
    assert front["dots"] == front["looked_at"]


def test_a_decision_is_explained_and_taken_back(front: dict) -> None:
    assert front["explained"]
    (change,) = front["without"]
    assert change.startswith("- finetune")


def test_impossible_budgets_are_told(front: dict) -> None:
    assert front["kind"] == "proven"
    assert front["binding"] == ["latency_ms"]
    assert front["bound"] > 0.002
    assert not front["impossible_kept"]
    assert "ram_kib = 0.1" in front["refusal"]
