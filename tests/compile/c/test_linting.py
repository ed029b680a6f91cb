"""Generated C has no findings, and the linters do find faults."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.compile.c.linted_models import models
from tests.compile.c.linting import findings, shortened
from tests.compile.c.test_hosting import padded_row
from tests.compile.c.test_random_graphs import IMAGES, drawn
from tests.compile.c.zoo_models import NAMES
from tests.model.graphs import integer_graphs

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate

MODELS = models()


@pytest.mark.parametrize("family", ["portable", "dsp"])
def test_an_image_model(family: str, tmp_path: Path) -> None:
    graph = max(drawn(integer_graphs(operators=IMAGES, most_nodes=8), 20, start=18), key=lambda found: len(found.nodes))
    assert findings(generate(graph, FAMILIES[family], name="drawn"), tmp_path) == []


def test_a_fault_is_found(tmp_path: Path) -> None:
    made = generate(padded_row(), FAMILIES["portable"], name="row")
    text = made.files["row.c"] + "\nint fault(void);\nint fault(void)\n{\n    int8_t held[2];\n    return held[1] / 0;\n}\n"
    faulty = msgspec.structs.replace(made, files={**made.files, "row.c": text})
    found = findings(faulty, tmp_path)
    assert any(line.startswith("clang-tidy") for line in found)
    assert any(line.startswith("cppcheck") for line in found)


def test_only_values_of_long_constants_are_left_out() -> None:
    values = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,\n    11, 12, 13, 14, 15, 16, 17, 18, 19, 20"
    long = f"static const int8_t net_weights[20] = {{\n    {values}\n}};"
    short = "static const int8_t net_weights[3] = {\n    1, 2, 3\n};"
    cut = "static const int8_t net_weights[20] = {\n    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16\n};"
    assert shortened(f"{short}\nint x;\n{long}\n") == f"{short}\nint x;\n{cut}\n"


@pytest.mark.soak
@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("name", [name for name in MODELS if name not in NAMES])
def test_models(name: str, family: str, tmp_path: Path) -> None:
    """All but the zoo's by their default plans, which are linted beside their other tests."""
    assert findings(MODELS[name](family), tmp_path) == []
