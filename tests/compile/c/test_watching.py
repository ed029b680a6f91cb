"""Random graphs with every call of a layer watched; and faults of kernels and of plans, made on purpose, are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.compile.c import watching
from tests.compile.c.arrangements import between, extremes, generate_by, in_turn, rolled, tensor
from tests.compile.c.hosting import Host, differing
from tests.compile.c.image_chains import image_chains
from tests.compile.c.int16_graphs import int16_graphs
from tests.compile.c.test_random_graphs import IMAGES, WEIGHTED, Maker, apart, check, drawn, generated, narrow, packed, planned
from tests.compile.c.test_rolled_calls import eager, middling, smallest
from tests.compile.c.watching import COMPILER, FLAGS, watched
from tests.model.graphs import INTEGER_OPERATORS, affine, integer_graphs

from marram.compile.c import families
from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated
from marram.compile.c.place import Place, Routine, Window
from marram.compile.c.text import calls, sources
from marram.compile.c.text.sources import kernel_text
from marram.core.operators import MaxPool2D

PLANS: tuple[Maker, ...] = (planned, apart, eager, smallest, middling)
POOL = "portable/max_pool2d.h"
AT = "const type *row ="
FAULTS = {
    "reads a row after its input": ("? w.in_height :", "? w.in_height + 1 :"),
    "reads a pixel after its row": ("? w.in_width :", "? w.in_width + 1 :"),
    "writes a byte after its output": (AT, f"y[w.out_rows * w.out_width * w.out_channels] = 77; {AT}"),
    "writes a byte before its output": (AT, f"y[-1] = 77; {AT}"),
    "writes its input": (AT, f"((type *)(uintptr_t)x)[0] = 77; {AT}"),
    "takes what stood in its output": ("most = INT32_MIN", "most = *out"),
}
ROW_FAULTS = FAULTS | {
    "writes a row that was not asked for": (AT, f"y[marram_row(row_end, w.out_rows, w.out_height, w.out_width)] = 77; {AT}"),
}


def pooled(make: Callable[..., Generated]) -> Generated:
    """A layer of maximum pooling between two others."""
    quantisation = affine(0.05, 3)
    graph = between(
        MaxPool2D(kernel=(2, 2), stride=(1, 1), padding=(0, 1, 0, 1)),
        [tensor("v", (1, 9, 5, 3), quantisation)],
        {},
        quantisation,
    )
    return make(graph, "portable", name="pool")


def trial(made: Generated, folder: Path) -> str:
    """What is wrong with the C: empty, a difference, or what ended the program."""
    inputs = extremes(made.graph, seed=3)
    host = Host([made], folder, compiler=(COMPILER,), flags=FLAGS)
    try:
        (found,) = host.run([inputs])
    except AssertionError as error:
        return str(error)
    return differing(made, inputs, found)


def whole(graph, family, *, name):
    return generate_by(in_turn, graph, family, name=name)


def in_rings(graph, family, *, name):
    return generate_by(rolled(2, spare=1), graph, family, name=name)


@pytest.mark.parametrize(
    ("make", "fault"), [*((whole, fault) for fault in FAULTS), *((in_rings, fault) for fault in ROW_FAULTS)]
)
def test_a_fault_of_a_kernel_is_found(make, fault, monkeypatch, tmp_path):
    changed = _changed(kernel_text(POOL), *ROW_FAULTS[fault])
    monkeypatch.setattr(sources, "kernel_text", lambda path: changed if path == POOL else kernel_text(path))
    assert trial(pooled(watched(make)), tmp_path)


def _changed(text, before, after):
    assert text.count(before) == 1
    return text.replace(before, after)


def test_no_fault_is_found_where_there_is_none(tmp_path):
    for index, make in enumerate((whole, in_rings)):
        made = pooled(watched(make))
        assert made.files["pool.c"].count("watch_before(") > 2
        assert trial(made, tmp_path / str(index)) == ""


def test_a_window_that_says_too_little_is_found(monkeypatch, tmp_path):
    table = families.makers("portable")
    honest = table[MaxPool2D]

    def short(place: Place) -> Routine:
        return msgspec.structs.replace(honest(place), windows=(Window(kernel=1),))

    monkeypatch.setitem(table, MaxPool2D, short)
    assert "differs" in trial(pooled(watched(in_rings)), tmp_path)


def test_a_call_at_another_place_is_found(monkeypatch, tmp_path):
    addresses = calls._Calls.addresses

    def moved(made, task):
        return tuple((block, at + 8 * (task == 1)) for block, at in addresses(made, task))

    monkeypatch.setattr(calls._Calls, "addresses", moved)
    assert "not at its place" in trial(pooled(watched(whole)), tmp_path)


def test_a_call_that_is_left_out_is_found(monkeypatch, tmp_path):
    text = calls.calls_text
    monkeypatch.setattr(
        watching, "calls_text", lambda *given: "\n".join(line for line in text(*given).splitlines() if "pool_l01" not in line)
    )
    assert "another function" in trial(pooled(watched(whole)), tmp_path)


def several(family: str, count: int, *, start: int) -> list[Generated]:
    """C of random graphs, by all plans in turn."""
    graphs = drawn(integer_graphs(operators=INTEGER_OPERATORS, most_nodes=8), count, start=start)
    graphs += drawn(integer_graphs(operators=IMAGES), count // 2, start=start + 1)
    graphs += drawn(image_chains(), count // 2, start=start + 2)
    graphs += drawn(int16_graphs(), count // 4, start=start + 3)
    made = generated(graphs, family, lambda *given: watched(PLANS[int(given[2][1:]) % len(PLANS)])(*given))
    for bits in (4, 2):
        fewer = [narrow(graph, bits=bits) for graph in drawn(integer_graphs(operators=WEIGHTED), count // 8, start=start + 4)]
        made += generated(
            fewer, family, lambda graph, family, name, bits=bits: watched(packed)(graph, family, f"{name}_{bits}")
        )
    return made


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_short(family: str, tmp_path: Path) -> None:
    check(several(family, 8, start=71), tmp_path, compiler=COMPILER, flags=FLAGS)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(10))
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_campaign(family: str, start: int, tmp_path: Path) -> None:
    check(several(family, 160, start=7000 + 10 * start), tmp_path, compiler=COMPILER, flags=FLAGS)
