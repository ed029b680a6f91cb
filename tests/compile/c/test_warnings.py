"""No compiler warns of generated C: gcc and clang on this machine, arm-none-eabi-gcc for every core."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.compile.c.hosting import generate_apart
from tests.compile.c.linted_models import PUBLISHED, models, published, side_by_side
from tests.compile.c.test_hosting import padded_row
from tests.compile.c.warnings_of import HERE, warnings_of

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import generate

MODELS = models()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_few_random_graphs(family: str, tmp_path: Path) -> None:
    assert warnings_of(generate_apart(side_by_side("few"), family, name="few"), tmp_path, here=HERE[:1], cores=1) == []


def test_every_compiler_warns(tmp_path: Path) -> None:
    made = generate(padded_row(), FAMILIES["dsp"], name="row")
    text = made.files["row.c"] + "\nint narrowed(long long x);\nint narrowed(long long x)\n{\n    return x;\n}\n"
    faulty = msgspec.structs.replace(made, files={**made.files, "row.c": text})
    found = warnings_of(faulty, tmp_path)
    assert len(found) == 2 * len(HERE) + 3
    assert all("row.c" in one and "onversion" in one for one in found)


@pytest.mark.soak
@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, family: str, tmp_path: Path) -> None:
    assert warnings_of(MODELS[name](family), tmp_path) == []


@pytest.mark.soak
@pytest.mark.shared_data
@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models(name: str, family: str, shared_data: Path | None, tmp_path: Path) -> None:
    graph = published(name, shared_data)
    if graph is not None:
        assert warnings_of(generate(graph, FAMILIES[family], name=name), tmp_path / "default") == []
        assert warnings_of(generate(graph, FAMILIES[family], name=name, arena_limit_bytes=1), tmp_path / "smallest") == []
