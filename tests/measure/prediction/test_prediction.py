"""Prices of nets: the planner's own arena, the same answer with and without what is remembered, and what was counted."""

from __future__ import annotations

import math
from importlib.resources import files

import numpy as np
import pytest
from msgspec.structs import replace
from tests.compile.c.zoo_models import integer_model

from marram.compile import device
from marram.compile.c.families import family_of
from marram.compile.c.generation import generate
from marram.core import operators as ops
from marram.core.errors import UserError
from marram.core.graph import Graph, Node, Tensor
from marram.measure.prediction import PriceCache, lower_bounds, nominal, predict
from marram.measure.prediction.__main__ import CORES
from marram.measure.prediction.coefficients import coefficients
from marram.measure.prediction.counting import count
from marram.measure.prediction.kernels import kernels_of
from marram.measure.prediction.samples import sample

M4 = device("cortex-m4")
NETS = ("ds_cnn", "resnet8", "conv1d", "fc_autoencoder")


def float_graph(channels: int = 12) -> Graph:
    """Convolution, depthwise convolution, sum, mean, scores."""
    rng = np.random.default_rng(0)
    shapes = {"x": (1, 10, 12, 3), "a": (1, 10, 12, channels), "b": (1, 10, 12, channels), "c": (1, 10, 12, channels)}
    shapes |= {"d": (1, channels), "y": (1, 5)}
    weights = {"w": (channels, 3, 3, 3), "v": (1, 3, 3, channels), "u": (5, channels)}
    constants = {name: rng.normal(size=shape).astype(np.float32) for name, shape in weights.items()}
    nodes = (
        Node(name="conv", op=ops.Conv2D(padding=(1, 1, 1, 1), activation="relu"), inputs=("x", "w", ""), outputs=("a",)),
        Node(name="dw", op=ops.DepthwiseConv2D(padding=(1, 1, 1, 1)), inputs=("a", "v", ""), outputs=("b",)),
        Node(name="sum", op=ops.Add(), inputs=("a", "b"), outputs=("c",)),
        Node(name="mean", op=ops.Mean(axes=(1, 2)), inputs=("c",), outputs=("d",)),
        Node(name="fc", op=ops.Dense(), inputs=("d", "u", ""), outputs=("y",)),
    )
    tensors = {name: Tensor(name=name, shape=shape) for name, shape in {**shapes, **weights}.items()}
    return Graph(name="net", inputs=("x",), outputs=("y",), tensors=tensors, constants=constants, nodes=nodes)


def cores() -> list[str]:
    """The cores whose costs were learned."""
    folder = files("marram.measure.prediction") / "coefficients"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir())


def test_only_cores_that_can_be_counted_are_known() -> None:
    assert {"cortex-m0", "cortex-m4", "cortex-m55"} <= set(cores()) <= set(CORES)


@pytest.mark.parametrize("core", cores())
def test_coefficients_are_of_these_kernels(core: str) -> None:
    """Run ``make predictors`` where this fails: the kernels have changed since costs were fitted."""
    known = coefficients(core)
    assert known.kernels == kernels_of(family_of(device(core)))
    assert known.core == core
    assert known.nets >= 35
    assert all(part.instructions >= 0 and part.cycles >= 0 for part in known.parts.values())


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("share", [None, 0.8])
def test_the_arena_is_the_planners(name: str, share: float | None) -> None:
    graph = integer_model(name)
    arena = generate(graph, family_of(M4)).plan.arena_bytes
    limit = None if share is None else int(arena * share)
    plan = generate(graph, family_of(M4), arena_limit_bytes=limit).plan
    price = predict(graph, M4, arena_limit_bytes=limit)
    assert price.arena_bytes == plan.arena_bytes
    assert price.ram_bytes == -(-price.arena_bytes // 8) * 8 + price.stack_bytes
    assert price.outside == ()


def test_what_is_remembered_changes_nothing() -> None:
    cache = PriceCache()
    first = [predict(float_graph(channels), M4, cache=cache) for channels in (12, 8, 12)]
    assert first[0] == first[2] == predict(float_graph(12), M4)
    assert first[1] == predict(float_graph(8), M4)


def test_numbers_do_not_matter_but_shapes_do() -> None:
    graph = float_graph()
    other = replace(graph, constants={name: values * 0.1 + 0.01 for name, values in graph.constants.items()})
    assert predict(other, M4) == predict(graph, M4)
    assert predict(float_graph(16), M4).instructions > predict(graph, M4).instructions


def test_the_nominal_graph_keeps_what_costs_depend_on() -> None:
    graph = float_graph()
    made = nominal(graph)
    assert [type(node.op) for node in made.nodes] == [type(node.op) for node in graph.nodes]
    assert all(tensor.dtype == "int8" for tensor in made.input_tensors)
    assert nominal(made) is made
    assert graph.constants["w"].dtype == np.float32


def test_parts_add_up() -> None:
    price = predict(float_graph(), M4)
    assert math.isclose(sum(row.instructions for row in price.instructions_by_layer), price.instructions)
    assert [row.node for row in price.instructions_by_layer] == ["conv", "dw", "sum", "mean", "fc", ""]
    assert price.flash_bytes > price.constant_bytes > 12 * 27
    assert price.figures["latency_p90_us"] > price.latency_us > 0
    assert price.energy_uj > 0
    assert {"instructions", "ram_bytes", "flash_bytes", "arena_bytes", "energy_uj"} <= set(price.figures)


def test_a_limit_for_all_ram_leaves_room_for_the_stack() -> None:
    graph = integer_model("resnet8")
    whole = predict(graph, M4)
    limit = int(whole.ram_bytes * 0.8)
    assert predict(graph, M4, ram_limit_bytes=limit).ram_bytes <= limit
    with pytest.raises(UserError, match="one limit"):
        predict(graph, M4, ram_limit_bytes=1, arena_limit_bytes=1)


@pytest.mark.parametrize("name", NETS)
def test_no_plan_goes_below_the_bounds(name: str) -> None:
    graph = integer_model(name)
    bounds = lower_bounds(graph, M4)
    plan = generate(graph, family_of(M4), arena_limit_bytes=0).plan
    assert 0 < bounds.ram_bytes <= plan.arena_bytes
    assert 0 < bounds.flash_bytes <= predict(graph, M4).constant_bytes
    assert bounds.live_bytes >= bounds.ram_bytes


def test_kernels_that_no_sample_had_are_named() -> None:
    graph = float_graph()
    nodes = (
        *graph.nodes[:2],
        replace(graph.nodes[2], op=ops.Resize(size=(5, 6), method="bilinear"), inputs=("b",)),
        *graph.nodes[3:],
    )
    tensors = {**graph.tensors, "c": Tensor(name="c", shape=(1, 5, 6, 12))}
    price = predict(replace(graph, nodes=nodes, tensors=tensors), M4)
    assert len(price.outside) == 1
    assert "resize" in price.outside[0]


def test_hosts_are_measured() -> None:
    with pytest.raises(UserError, match="measured, not predicted"):
        predict(float_graph(), device("host"))
    with pytest.raises(UserError, match="measured, not predicted"):
        lower_bounds(float_graph(), device("linux-arm64"))


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_a_net_that_was_not_fitted_costs_what_was_foretold(core: str) -> None:
    target = device(core)
    graph = integer_model("ds_cnn")
    price, truth = predict(graph, target), count(graph, target)
    assert price.instructions == pytest.approx(truth.instructions, rel=0.05)
    assert price.cycles == pytest.approx(truth.cycles, rel=0.05)
    assert price.flash_bytes == pytest.approx(truth.flash_bytes, rel=0.1)
    assert price.arena_bytes == truth.arena_bytes
    assert price.ram_bytes == pytest.approx(truth.ram_bytes + truth.stack_bound_bytes, rel=0.05)


def test_samples_are_the_same_every_time() -> None:
    first, again = sample(6), sample(6)
    assert first.arena_share == again.arena_share
    assert first.graph.nodes == again.graph.nodes
    assert all(np.array_equal(first.graph.constants[name], again.graph.constants[name]) for name in first.graph.constants)
