"""Sums, pools, means and tables of family ``dsp``: the reference's bytes, over rows, rings and clamps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.arrangements import Plan, between, extremes, generate_by, in_place, in_turn, rolled, tensor
from tests.compile.c.hosting import Host, differing
from tests.model.graphs import affine

from marram.compile.c.generation import Generated
from marram.core.graph import Graph
from marram.core.operators import Add, AveragePool2D, Dense, HardSwish, MaxPool2D, Mean, Mul, Operator, Sub


def total(op: Operator, shape: tuple[int, ...], scales: tuple[float, float, float], zeros: tuple[int, int, int]) -> Graph:
    inputs = [tensor(f"v{index}", shape, affine(scales[index], zeros[index])) for index in range(2)]
    return between(op, inputs, {}, affine(scales[2], zeros[2]))


def single(op: Operator, shape: tuple[int, ...], zero_point: int = 3, out: tuple[float, int] | None = None) -> Graph:
    given = affine(0.05, zero_point)
    return between(op, [tensor("v0", shape, given)], {}, affine(*out) if out else given)


def equal(found: list[Generated], folder: Path, kernel: str) -> None:
    assert all(f"{kernel}(" in one.files[f"{one.name}.c"] for one in found)
    inputs = [extremes(one.graph, seed=index) for index, one in enumerate(found)]
    outputs = Host(found, folder).run(inputs)
    problems = [differing(one, given, got) for one, given, got in zip(found, inputs, outputs, strict=True)]
    assert not [problem for problem in problems if problem]


def every(graphs: list[Graph], plans: list[Plan]) -> list[Generated]:
    return [generate_by(plan, graph, "dsp", name=f"g{i}_{j}") for i, graph in enumerate(graphs) for j, plan in enumerate(plans)]


def test_sums(tmp_path: Path) -> None:
    graphs = [
        total(Add(activation="relu"), (1, 5, 3, 7), (0.02, 0.03, 0.04), (4, -128, -128)),
        total(Add(), (1, 6, 2, 4), (0.02, 0.02, 0.02), (0, 0, 0)),
        total(Add(activation="relu6"), (1, 4, 5, 3), (0.5, 0.003, 0.1), (127, -7, -20)),
        total(Sub(), (1, 7, 1, 5), (0.01, 0.04, 0.03), (9, -100, 50)),
        total(Sub(activation="relu_n1_to_1"), (1, 3, 3, 9), (0.05, 0.05, 0.1), (0, 0, 0)),
    ]
    equal(every(graphs, [in_turn, in_place(), rolled(2, spare=1)]), tmp_path, "marram_dsp_add")


def test_products(tmp_path: Path) -> None:
    graphs = [
        total(Mul(), (1, 5, 3, 7), (1 / 256, 1 / 128, 1 / 128), (-128, 0, 22)),
        total(Mul(activation="relu"), (1, 6, 2, 4), (0.02, 0.05, 0.3), (0, 0, -128)),
        total(Mul(activation="relu_n1_to_1"), (1, 4, 5, 3), (0.5, 0.003, 0.1), (127, -128, -20)),
        total(Mul(), (1, 7, 1, 5), (0.25, 0.25, 0.3), (9, -100, 50)),
    ]
    equal(every(graphs, [in_turn, in_place(), rolled(2, spare=1)]), tmp_path, "marram_dsp_mul")


@pytest.mark.parametrize("scale", [0.002, 0.0078125, 0.1])
def test_product_of_every_pair(scale: float, tmp_path: Path) -> None:
    """Factors with halves in their way and without: 1/64 has them all over."""
    graphs = [total(Mul(), (1, 256, 16, 16), (scale, 0.5, 0.25), (17, -3, 5))]
    values = np.arange(-128, 128).astype(np.int8)
    pairs = [np.repeat(values, 256).reshape(1, 256, 16, 16), np.tile(values, 256).reshape(1, 256, 16, 16)]
    (found,) = every(graphs, [in_turn])
    (outputs,) = Host([found], tmp_path).run([pairs])
    assert "marram_dsp_mul(" in found.files[f"{found.name}.c"]
    assert differing(found, pairs, outputs) == ""


def test_products_by_factors_of_one_and_more_are_left_to_portable() -> None:
    (found,) = every([total(Mul(), (1, 2, 3, 4), (2.0, 0.5, 0.9), (0, 0, 0))], [in_turn])
    assert "marram_portable_mul(" in found.files[f"{found.name}.c"]


@pytest.mark.parametrize(("depth", "outputs", "by_four"), [(3, 32, True), (8, 16, True), (64, 12, False), (128, 8, True)])
def test_dense_of_many_outputs_goes_by_four_channels(depth: int, outputs: int, by_four: bool) -> None:
    """Not the last layer of a small classifier, but the gates of a recurrent one, however few inputs they have."""
    weights = np.random.default_rng(depth).integers(-127, 128, (outputs, depth)).astype(np.int8)
    graph = between(
        Dense(),
        [tensor("v0", (1, depth), affine(0.05, 3))],
        {"w": (tensor("w", weights.shape, affine(0.02, 0)), weights)},
        affine(0.3, 3),
    )
    (found,) = every([graph], [in_turn])
    assert ("marram_dsp_quads" in found.files[f"{found.name}.c"]) == by_four


def test_sum_of_every_pair(tmp_path: Path) -> None:
    graphs = [
        total(Add(), (1, 256, 16, 16), (0.0237, 0.0101, 0.0316), (17, -3, 5)),
        total(Sub(), (1, 256, 16, 16), (0.1, 0.1, 0.2), (0, 0, 0)),
    ]
    found = every(graphs, [in_turn])
    values = np.arange(-128, 128).astype(np.int8)
    pairs = [np.repeat(values, 256).reshape(1, 256, 16, 16), np.tile(values, 256).reshape(1, 256, 16, 16)]
    outputs = Host(found, tmp_path).run([pairs] * len(found))
    assert not any(differing(one, pairs, got) for one, got in zip(found, outputs, strict=True))


def test_averages(tmp_path: Path) -> None:
    graphs = [
        single(AveragePool2D(kernel=(6, 4), stride=(6, 4)), (1, 6, 4, 9)),
        single(AveragePool2D(kernel=(16, 16), stride=(1, 1)), (1, 16, 16, 5)),
        single(AveragePool2D(kernel=(2, 2), stride=(2, 2), activation="relu"), (1, 8, 7, 6)),
        single(AveragePool2D(kernel=(3, 2), stride=(1, 3), activation="relu6"), (1, 7, 8, 4), -100),
    ]
    equal(every(graphs, [in_turn, rolled(1), rolled(2, spare=1)]), tmp_path, "marram_dsp_average_pool2d")


def test_means(tmp_path: Path) -> None:
    graphs = [
        single(Mean(axes=(1, 2), keep_dims=True), (1, 5, 7, 6), out=(0.03, -20)),
        single(Mean(axes=(1, 2), keep_dims=False), (1, 8, 8, 4), -128, out=(0.05, -128)),
    ]
    equal(every(graphs, [in_turn]), tmp_path, "marram_dsp_average_pool2d")


def test_maxima(tmp_path: Path) -> None:
    graphs = [
        single(MaxPool2D(kernel=(2, 2), stride=(2, 2)), (1, 8, 6, 8)),
        single(MaxPool2D(kernel=(3, 3), stride=(2, 1), padding=(1, 1, 1, 1), activation="relu6"), (1, 9, 5, 4), -20),
    ]
    equal(every(graphs, [in_turn, rolled(1), rolled(2, spare=1)]), tmp_path, "marram_dsp_max_pool2d")


def test_tables(tmp_path: Path) -> None:
    graph = single(HardSwish(), (1, 6, 3, 5), out=(0.04, -100))
    equal(every([graph], [in_turn, in_place(), rolled(2, spare=1)]), tmp_path, "marram_dsp_table")


@pytest.mark.parametrize(
    "graph",
    [
        single(AveragePool2D(kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)), (1, 6, 6, 4)),
        single(MaxPool2D(kernel=(2, 2), stride=(2, 2)), (1, 6, 6, 3)),
        single(Mean(axes=(1,), keep_dims=True), (1, 5, 7, 6), out=(0.03, -20)),
    ],
)
def test_others_go_to_the_plain_kernels(graph: Graph) -> None:
    assert "marram_dsp_average_pool2d(" not in (text := generate_by(in_turn, graph, "dsp", name="g").files["g.c"])
    assert "marram_dsp_max_pool2d(" not in text
