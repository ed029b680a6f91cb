"""What generated C is linted on: models as they are used, and random graphs side by side, so that every kernel is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from tests.compile.c.hosting import generate_apart
from tests.compile.c.image_chains import image_chains
from tests.compile.c.int16_graphs import int16_graphs
from tests.compile.c.joining import joined
from tests.compile.c.mve_graphs import layers
from tests.compile.c.recurrent_models import recurrent_graph
from tests.compile.c.scalar_layers import chains
from tests.compile.c.test_dsp_tiles import fans
from tests.compile.c.test_random_graphs import IMAGES, WEIGHTED, drawn, narrow
from tests.compile.c.test_rolled_calls import eager, smallest
from tests.compile.c.zoo_models import NAMES, integer_model
from tests.model.graphs import INTEGER_OPERATORS, integer_graphs

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.core.errors import UserError
from marram.core.graph import Graph
from marram.model import load

PUBLISHED = {"ad": "ad01_int8", "kws": "kws_ref_model", "vww": "vww_96_int8", "ic": "pretrainedResnet_quant"}
Made = Callable[[str], Generated]
"""A family's name -> C."""


def published(name: str, shared_data: Path | None) -> Graph | None:
    """A model of MLPerf Tiny, where its file is."""
    path = shared_data and shared_data / "mlperf_tiny" / f"{PUBLISHED[name]}.tflite"
    if path is None or not path.is_file():
        return None
    graph = load(path)
    assert isinstance(graph, Graph)
    return graph


def within_int32(graphs: Sequence[Graph]) -> list[Graph]:
    """The graphs without an accumulator that can overflow, which no family serves."""
    kept = []
    for graph in graphs:
        try:
            generate_apart(graph, "portable", name="tried")
        except UserError as error:
            if "int32" not in error.what:
                raise
        else:
            kept.append(graph)
    return kept


@cache
def side_by_side(kind: str) -> Graph:
    """Random graphs of a kind, joined."""
    several: dict[str, Callable[[], list[Graph]]] = {
        "few": lambda: drawn(integer_graphs(operators=INTEGER_OPERATORS), 12, start=40),
        "any": lambda: drawn(integer_graphs(operators=INTEGER_OPERATORS), 40, start=41),
        "images": lambda: drawn(integer_graphs(operators=IMAGES), 30, start=42),
        "int16": lambda: drawn(int16_graphs(), 40, start=43),
        "int4": lambda: [narrow(graph, bits=4) for graph in drawn(integer_graphs(operators=WEIGHTED), 25, start=44)],
        "int2": lambda: [narrow(graph, bits=2) for graph in drawn(integer_graphs(operators=WEIGHTED), 25, start=45)],
        "scalar": lambda: drawn(chains(), 40, start=46),
        "dsp": lambda: fans(47, 12),
        "mve": lambda: drawn(layers(), 6, start=48),
    }
    return joined(within_int32(several[kind]()))


def models() -> dict[str, Made]:
    """All but the published ones, by name: each zoo model by its default plan and in its smallest arena, and the rest."""
    found: dict[str, Made] = {}
    for name in NAMES:
        found[name] = lambda family, name=name: generate(integer_model(name), FAMILIES[family], name=name)
        found[f"{name} smallest"] = lambda family, name=name: smallest(integer_model(name), family, name)
    for kind in ("any", "images", "int16", "int4", "int2", "scalar", "dsp", "mve"):
        pack = kind in {"int4", "int2"}
        found[f"random {kind}"] = lambda family, kind=kind, pack=pack: generate_apart(
            side_by_side(kind), family, name="drawn", pack_weights=pack
        )
    for kind in ("lstm", "gru"):
        for every in (False, True):
            found[f"{kind} {'steps' if every else 'state'}"] = lambda family, kind=kind, every=every: generate(
                recurrent_graph(kind, length=9, every=every), FAMILIES[family], name=kind
            )
    found["random rolled"] = lambda family: eager(_longest_chain(), family, "rolled")
    return found


@cache
def _longest_chain() -> Graph:
    return max(within_int32(drawn(image_chains(), 20, start=49)), key=lambda graph: len(graph.nodes))
