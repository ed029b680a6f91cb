"""The harness itself: it sees a wrong byte, a byte outside of the arena and a byte outside of a buffer inside of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.compile.c.hosting import Host, differing, generate_apart
from tests.model.graphs import affine

from marram.compile.c.generation import Generated
from marram.core.graph import Graph, Node, Tensor
from marram.core.operators import Pad


def padded_row() -> Graph:
    scale = affine(0.1, 3)
    tensors = {
        name: Tensor(name=name, shape=(1, size), dtype="int8", quantisation=scale) for name, size in (("x", 6), ("y", 9))
    }
    node = Node(name="pad", op=Pad(paddings=((0, 0), (1, 2))), inputs=("x",), outputs=("y",))
    return Graph(name="row", inputs=("x",), outputs=("y",), tensors=tensors, constants={}, nodes=(node,))


@pytest.fixture
def made() -> Generated:
    return generate_apart(padded_row(), "portable", name="row")


def altered(made: Generated, old: str, new: str) -> Generated:
    text = made.files["row.c"]
    assert text.count(old) == 1
    return msgspec.structs.replace(made, files={**made.files, "row.c": text.replace(old, new)})


INPUT = np.arange(12, dtype=np.int8).reshape(2, 6)


def test_right_bytes_pass(made: Generated, tmp_path: Path) -> None:
    (found,) = Host([made], tmp_path).run([[INPUT]])
    assert not differing(made, [INPUT], found)


def test_wrong_byte_is_named(made: Generated, tmp_path: Path) -> None:
    (found,) = Host([altered(made, "y0 + 1", "y0 + 2")], tmp_path).run([[INPUT]])
    assert "differs in 14 of 18" in differing(made, [INPUT], found)


@pytest.mark.parametrize("offset", [-1, 4])
def test_write_outside_of_a_buffer_is_seen(made: Generated, offset: int, tmp_path: Path) -> None:
    host = Host([altered(made, "y0 + 1", f"y0 + {offset}")], tmp_path)
    with pytest.raises(AssertionError, match="use-after-poison"):
        host.run([[INPUT]])


def test_read_outside_of_a_buffer_is_seen(made: Generated, tmp_path: Path) -> None:
    host = Host([altered(made, "(x0, 0,", "(x0 + 1, 0,")], tmp_path)
    with pytest.raises(AssertionError, match="use-after-poison"):
        host.run([[INPUT]])


def test_warning_fails(made: Generated, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="conversion"):
        Host([altered(made, "(size_t)bytes", "bytes")], tmp_path)
