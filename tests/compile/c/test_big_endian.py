"""Family portable on a machine whose first byte is the highest: no kernel loads several bytes at once out of bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st
from tests.compile.c.hosting import OPTIMISED, Host, differing
from tests.compile.c.int16_graphs import int16_graphs, vectors
from tests.compile.c.test_random_graphs import WEIGHTED, drawn, generated, narrow, packed, planned
from tests.compile.c.zoo_models import integer_model
from tests.model.graphs import INTEGER_OPERATORS, integer_graphs

from marram.compile.c.generation import Generated
from marram.core.graph import Graph


def check(made: list[Generated], folder: Path) -> None:
    host = Host(made, folder, compiler=("powerpc-linux-gnu-gcc",), flags=(*OPTIMISED, "-static"))
    inputs = [vectors(one.graph, 4, seed=index) for index, one in enumerate(made)]
    found = host.run(inputs, runner=("qemu-ppc",), order=">")
    problems = [differing(one, given, got) for one, given, got in zip(made, inputs, found, strict=True)]
    assert not [problem for problem in problems if problem]


@pytest.mark.soak
@pytest.mark.parametrize("strategy", [integer_graphs(operators=INTEGER_OPERATORS), int16_graphs()], ids=["int8", "int16"])
def test_random_graphs(strategy: st.SearchStrategy[Graph], tmp_path: Path) -> None:
    check(generated(drawn(strategy, 100, start=31), "portable", planned), tmp_path)


@pytest.mark.soak
def test_packed_weights(tmp_path: Path) -> None:
    graphs = [narrow(graph, bits=4) for graph in drawn(integer_graphs(operators=WEIGHTED), 50, start=33)]
    check(generated(graphs, "portable", packed), tmp_path)


@pytest.mark.soak
def test_transformer(tmp_path: Path) -> None:
    check([planned(integer_model("transformer"), "portable", "transformer")], tmp_path)
