"""The public functions of generated C: status codes on bad arenas and pointers, nothing written then, and no hidden state."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.hosting import STRICT
from tests.model.graphs import affine

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import Relu, Softmax
from marram.model import interpret

OK, NULL_POINTER, TOO_SMALL, MISALIGNED = range(4)
SIZE = 24
FILL = 0x5A


def two_layers() -> Graph:
    quantisations = {"x": affine(0.1, 3), "y": affine(0.05, -128), "z": affine(1 / 256, -128)}
    tensors = {
        name: Tensor(name=name, shape=(1, SIZE), dtype="int8", quantisation=found) for name, found in quantisations.items()
    }
    nodes = (
        Node(name="relu", op=Relu(), inputs=("x",), outputs=("y",)),
        Node(name="softmax", op=Softmax(), inputs=("y",), outputs=("z",)),
    )
    return Graph(name="two", inputs=("x",), outputs=("z",), tensors=tensors, constants={}, nodes=nodes)


class Model:
    def __init__(self, folder: Path) -> None:
        self.made: Generated = generate(two_layers(), FAMILIES["portable"], name="two")
        for name, text in self.made.files.items():
            (folder / name).write_text(text)
        subprocess.run(["gcc", *STRICT, "-O1", "-fPIC", "-shared", "two.c", "-o", "two.so"], cwd=folder, check=True)
        self.library = ctypes.CDLL(str(folder / "two.so"))
        self.library.two_input.restype = self.library.two_output.restype = ctypes.c_void_p
        self.bytes = self.made.plan.arena_bytes
        self.memory = np.full(self.bytes + 256, FILL, np.uint8)
        self.arena = -(-self.memory.ctypes.data // 64) * 64

    def run_in(self, arena: int | None, size: int, given: np.ndarray | None, found: np.ndarray | None) -> int:
        pointers = [None if array is None else ctypes.c_void_p(array.ctypes.data) for array in (given, found)]
        return self.library.two_run_in(ctypes.c_void_p(arena), ctypes.c_size_t(size), *pointers)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("two"))


@pytest.fixture
def given() -> np.ndarray:
    return np.random.default_rng(0).integers(-128, 128, (1, SIZE)).astype(np.int8)


@pytest.mark.parametrize(
    ("shift", "missing", "status"), [(0, 1, TOO_SMALL), (0, 10_000, TOO_SMALL), (1, 0, MISALIGNED), (4, 0, MISALIGNED)]
)
def test_bad_arena(model: Model, given: np.ndarray, shift: int, missing: int, status: int) -> None:
    found = np.full((1, SIZE), 77, np.int8)
    model.memory[:] = FILL
    size = max(model.bytes - missing, 0)
    assert model.run_in(model.arena + shift, size, given, found) == status
    assert model.library.two_invoke(ctypes.c_void_p(model.arena + shift), ctypes.c_size_t(size)) == status
    assert (model.memory == FILL).all()
    assert (found == 77).all()


def test_null_pointers(model: Model, given: np.ndarray) -> None:
    found = np.full((1, SIZE), 77, np.int8)
    model.memory[:] = FILL
    assert model.run_in(None, model.bytes, given, found) == NULL_POINTER
    assert model.run_in(model.arena, model.bytes, None, found) == NULL_POINTER
    assert model.run_in(model.arena, model.bytes, given, None) == NULL_POINTER
    assert model.library.two_run(None, ctypes.c_void_p(found.ctypes.data)) == NULL_POINTER
    assert (model.memory == FILL).all()
    assert (found == 77).all()


def test_no_byte_outside_of_the_arena_is_written(model: Model, given: np.ndarray) -> None:
    found = np.zeros((1, SIZE), np.int8)
    model.memory[:] = FILL
    assert model.run_in(model.arena, model.bytes, given, found) == OK
    first = model.arena - model.memory.ctypes.data
    assert (model.memory[:first] == FILL).all()
    assert (model.memory[first + model.bytes :] == FILL).all()
    assert (found == interpret(model.made.graph, [given])[0]).all()


def test_run_in_place_without_copies(model: Model, given: np.ndarray) -> None:
    expected = interpret(model.made.graph, [given])[0].ravel()
    arena, size = ctypes.c_void_p(model.arena), ctypes.c_size_t(model.bytes)
    for _ in range(2):
        ctypes.memmove(model.library.two_input(arena, 0), given.ctypes.data, SIZE)
        assert model.library.two_invoke(arena, size) == OK
        found = ctypes.string_at(model.library.two_output(arena, 0), SIZE)
        assert (np.frombuffer(found, np.int8) == expected).all()
    assert model.library.two_input(arena, 1) is None
    assert model.library.two_output(arena, -1) is None
