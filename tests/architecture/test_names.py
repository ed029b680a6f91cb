"""Public names: exported, documented, and the ones that the documentation promises."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "marram"
ROOMS_WITH_NAMES = ("sense", "data", "model", "compress", "compile", "measure", "search", "bundle", "runtime", "report")

# Names that later work and users rely on.
PROMISED = {
    "marram": ("build", "BuildResult"),
    "marram.model": ("load", "save", "interpret"),
    "marram.data": ("load",),
    "marram.compress": ("quantise",),
    "marram.compile": ("build",),
    "marram.measure": ("run",),
    "marram.bundle": ("open",),
    "marram.runtime": ("Engine",),
}


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in PROMISED.items() for n in names])
def test_promised_names_are_there(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    assert callable(value)


@pytest.mark.parametrize("room", ROOMS_WITH_NAMES)
def test_rooms_list_what_they_export(room: str) -> None:
    module = importlib.import_module(f"marram.{room}")
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name[0].isupper(), name)) or module.__all__ == sorted(
        module.__all__
    )
    for name in module.__all__:
        value = getattr(module, name)
        assert not inspect.ismodule(value), f"{name} is a module: a submodule hides the function of that name"
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"marram.{room}.{name} has no docstring"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_every_public_thing_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text())
    bare = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            bare.append(node.name)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bare += [
                f"{node.name}.{item.name}"
                for item in node.body
                if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and not ast.get_docstring(item)
            ]
    assert not bare, f"without a docstring: {bare}"
