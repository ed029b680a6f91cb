"""The house's walls: which room may import which, and which outside package where."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "marram"

# The rooms in the order in which a model walks; a room imports core and rooms before it.
ROOMS = (
    "core",
    "sense",
    "data",
    "model",
    "compress",
    "compile",
    "measure",
    "search",
    "bundle",
    "runtime",
    "report",
    "_build",
    "cli",
)
LIGHT = ("core", "sense", "bundle", "runtime")

# Outside packages that a room may import at all, and those that it may import at a module's top.
ANYWHERE = {
    "core": {"msgspec", "numpy"},
    "sense": {"msgspec", "numpy"},
    "data": {"msgspec", "numpy", "PIL", "soundfile", "pyarrow"},
    "model": {"msgspec", "numpy", "torch", "onnx", "flatbuffers", "google"},
    "compress": {"msgspec", "numpy", "torch"},
    "compile": {"msgspec", "numpy", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer", "openvino"},
    "measure": {"msgspec", "numpy", "psutil", "serial"},
    "search": {"msgspec", "numpy", "torch", "optuna", "ray"},
    "bundle": {"msgspec", "numpy", "cryptography", "zstandard"},
    "runtime": {"msgspec", "numpy", "onnxruntime", "ai_edge_litert", "openvino"},
    "report": {"msgspec", "numpy", "jinja2", "markupsafe", "matplotlib"},
    "_build": {"msgspec", "numpy", "torch"},
    "cli": {"msgspec", "numpy", "typer", "click", "rich"},
}
ALWAYS_LIGHT = {"msgspec", "numpy", "cryptography", "zstandard", "typer", "click", "rich"}
# Where a module's whole job may be torch; such a module may import torch at its top.
TORCH_PLACES = (
    "model/zoo/",
    "model/torch_graph",
    "model/torch_import/",
    "model/training/",
    "compress/learning/distillation",
    "compress/learning/features",
    "compress/learning/quantised/",
    "search/supernet/",
)

FILES = sorted(SOURCE.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def room_of(path: Path) -> str | None:
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else None


@cache
def imported(path: Path, *, top_only: bool) -> frozenset[str]:
    """Dotted names that a module imports, less those for the type checker alone."""
    names: set[str] = set()
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            stack += node.orelse
        elif not (top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            stack += ast.iter_child_nodes(node)
    return frozenset(names)


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == {*ROOMS, "firmware"}


def test_the_firmware_holds_no_python() -> None:
    assert not list((SOURCE / "firmware").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_go_leftwards(path: Path) -> None:
    room = room_of(path)
    if room is None:
        return  # the package's own __init__ hands names on lazily; test_light_start holds it
    allowed = {"core", *ROOMS[: ROOMS.index(room) + 1]}
    if room in LIGHT:
        allowed &= set(LIGHT)
    names = imported(path, top_only=False)
    used = {name.split(".")[1] for name in names if name.startswith("marram.")} & set(ROOMS)
    assert used <= allowed, f"{relative(path)} reaches into {sorted(used - allowed)}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_outside_packages_stay_in_their_rooms(path: Path) -> None:
    room = room_of(path)
    known = set(sys.stdlib_module_names) | {"marram", "__future__"}
    outside = {name.split(".")[0] for name in imported(path, top_only=False)} - known
    assert outside <= ANYWHERE.get(room or "", set()), f"{relative(path)} imports {sorted(outside)}"


def heavy_at_top(path: Path) -> set[str]:
    known = set(sys.stdlib_module_names) | {"marram", "__future__"}
    return {name.split(".")[0] for name in imported(path, top_only=True)} - known - ALWAYS_LIGHT


def module_name(path: Path) -> str:
    return "marram." + relative(path).removesuffix(".py").removesuffix("/__init__").removesuffix("__init__").replace("/", ".")


MODULES = {module_name(path).rstrip("."): path for path in FILES}


def edges(path: Path) -> set[str]:
    """Modules of ours that a module imports at its top: the submodule where one is named, not its package."""
    names = imported(path, top_only=True) & set(MODULES)
    return {name for name in names if not any(other.startswith(name + ".") for other in names)}


def reached(name: str) -> set[str]:
    """All modules of ours that importing one runs, itself included if it comes back to itself."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        fresh = edges(MODULES[todo.pop()]) - seen
        seen |= fresh
        todo += fresh
    return seen


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_heavy_packages_are_imported_inside_functions(path: Path) -> None:
    allowed = {"torch"} if relative(path).startswith(TORCH_PLACES) else set()
    assert heavy_at_top(path) <= allowed


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_torch_places_reach_torch_at_import_time(name: str) -> None:
    if not relative(MODULES[name]).startswith(TORCH_PLACES):
        assert not {other for other in reached(name) if "torch" in heavy_at_top(MODULES[other])}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_cycle_at_import_time(name: str) -> None:
    """No module reaches itself through imports at the top of modules."""
    assert name not in reached(name)


def test_no_attic_names() -> None:
    stems = {part for path in FILES for part in (*path.relative_to(SOURCE).parent.parts, path.stem)}
    assert not stems & {"utils", "util", "common", "helpers", "helper", "manager", "base", "misc"}
