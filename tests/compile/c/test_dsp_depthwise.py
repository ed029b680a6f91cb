"""Depthwise convolution of family ``dsp``: the reference's bytes for windows, bands, rings and in place, in its plain C."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.compile.c.arrangements import between, extremes, generate_by, in_place, rolled, tensor
from tests.compile.c.hosting import Host, differing, generate_apart
from tests.model.graphs import affine

from marram.compile.c.generation import Generated
from marram.core.errors import UserError
from marram.core.graph import Graph, Quantisation
from marram.core.operators import DepthwiseConv2D

ACTIVATIONS = ("relu", "relu", "none", "relu6", "relu_n1_to_1")


class Case(msgspec.Struct, frozen=True):
    """A convolution and how it is arranged: apart, in place, or a number of rows a call."""

    graph: Graph
    arrangement: str | int
    spare: int
    lean: bool


def convolution(
    height: int, width: int, channels: int, kernel: tuple[int, int], op: DepthwiseConv2D, *, out: Quantisation, seed: int,
    spread: float = 1.0, bias_of: int = 4000, zero_point: int = -128,
) -> Graph:  # fmt: skip
    """Weights at their ends in part, one scale for each channel within 2**spread of another."""
    rng = np.random.default_rng(seed)
    scales = np.float32(0.01 * 2 ** rng.uniform(-spread, spread, channels))
    weights = rng.integers(-127, 128, (1, *kernel, channels)).astype(np.int8)
    weights[rng.integers(0, 3, weights.shape) == 0] = rng.choice([-127, 127])
    zeros = (0,) * channels
    bias = rng.integers(-bias_of, bias_of + 1, channels).astype(np.int32)
    x = affine(0.05, zero_point)
    bias_scales = tuple((np.float32(0.05) * scales).tolist())
    by_channel = Quantisation(scales=tuple(scales.tolist()), zero_points=zeros, axis=3)
    constants = {
        "w": (tensor("w", weights.shape, by_channel), weights),
        "b": (tensor("b", bias.shape, Quantisation(scales=bias_scales, zero_points=zeros, axis=0), "int32"), bias),
    }
    return between(op, [tensor("v0", (1, height, width, channels), x)], constants, out)


def case(rng: random.Random) -> Case:
    """Any window, image, range and arrangement: with one executable for many cases, nothing could be made smaller anyway."""
    number = rng.randint

    def pick(*values):
        return rng.choice(values)

    kernel = pick(*[(3, 3)] * 6, (5, 5), (1, 4), (1, 5), (2, 3), (4, 1))
    stride = pick(*[(1, 1)] * 4, *[(2, 2)] * 3, (1, 2), (2, 1), (3, 3))
    dilation = pick((1, 1), (1, 1), (1, 1), (1, 1), (2, 1), (1, 2)) if stride == (1, 1) else (1, 1)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(number(0, k - 1) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
    height = number(max(reach[0] - padding[0] - padding[1], 1), 13)
    width = number(max(reach[1] - padding[2] - padding[3], 1), 14)
    if kernel[0] == 1 and pick(False, True):
        height, padding, width = 1, (0, 0, *padding[2:]), number(5, 30)
    op = DepthwiseConv2D(stride=stride, dilation=dilation, padding=padding, activation=pick(*ACTIVATIONS))
    graph = convolution(
        height, width, number(1, 9), kernel, op,
        out=affine(0.05 * 0.01 * 2.0 ** number(3, 12), pick(-128, -128, -128, -128, 0, 13)),
        seed=number(0, 2**32 - 1), spread=pick(0.5, 1.0, 1.0, 3.0, 6.0), bias_of=pick(0, 4000, 400_000),
        zero_point=pick(-128, 127, 5),
    )  # fmt: skip
    return Case(graph, pick("apart", "in place", 1, 2, 3), number(0, 2), pick(False, True))


def made(case: Case, name: str, *, pack_weights: bool = False) -> Generated:
    if case.arrangement == "apart":
        return generate_apart(case.graph, "dsp", name=name, pack_weights=pack_weights)
    plan = in_place(lean=case.lean)
    if isinstance(case.arrangement, int):
        plan = rolled(case.arrangement, spare=case.spare, lean=case.lean)
    return generate_by(plan, case.graph, "dsp", name=name, pack_weights=pack_weights)


def check(found: list[Generated], folder: Path) -> None:
    inputs = [extremes(one.graph, seed=index) for index, one in enumerate(found)]
    outputs = Host(found, folder).run(inputs)
    problems = [differing(one, given, got) for one, given, got in zip(found, inputs, outputs, strict=True)]
    assert not [problem for problem in problems if problem]


def served(found: list[Generated]) -> int:
    return sum("marram_dsp_depthwise_conv2d" in one.files[f"{one.name}.c"] for one in found)


def run(count: int, start: int, folder: Path) -> None:
    found, rng = [], random.Random(start)
    for index in range(count):
        drawn = case(rng)
        one = made(drawn, f"c{index}")
        whole = drawn.arrangement != "in place" or "marram_dsp_depthwise_conv2d" in one.files[f"{one.name}.c"]
        found += [one] if whole else []  # the plain kernel does not work in place
    assert served(found) > 0.6 * count
    check(found, folder)


def test_windows(tmp_path: Path) -> None:
    run(10, 1, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(2, 22))
def test_windows_at_length(start: int, tmp_path: Path) -> None:
    run(60, start, tmp_path)


@pytest.mark.parametrize("stride", [1, 2])
def test_bands_in_place(stride: int, tmp_path: Path) -> None:
    """An image too tall for scratch is made band by band over itself, in either economy."""
    op = DepthwiseConv2D(stride=(stride, stride), padding=(1, 1, 1, 1), activation="relu")
    found = []
    shapes = [(40, 31, 8, False), (23, 48, 5, True), (60, 5, 12, True)]
    for index, (height, width, channels, lean) in enumerate(shapes):
        graph = convolution(height, width, channels, (3, 3), op, out=affine(0.05, -128), seed=index)
        found.append(generate_by(in_place(lean=lean), graph, "dsp", name=f"i{index}"))
        assert found[-1].layers[1].scratch_bytes <= (600 if lean else 2048)
    assert served(found) == len(found)
    check(found, tmp_path)


def test_layers_of_one_shape_share_code() -> None:
    op = DepthwiseConv2D(stride=(1, 1), padding=(1, 1, 1, 1), activation="relu")
    graph = convolution(6, 6, 8, (3, 3), op, out=affine(0.05, -128), seed=1)
    first = generate_apart(graph, "dsp", name="one").files["one.c"]
    other = convolution(6, 6, 8, (3, 3), op, out=affine(0.05, -128), seed=2)
    second = generate_apart(other, "dsp", name="one").files["one.c"]
    names = [{word for word in text.split("(") if word.startswith("marram_dsp_depthwise_6x6x8")} for text in (first, second)]
    assert names[0] == names[1]


def test_multiplicity_goes_to_the_plain_kernel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (1, 3, 3, 8)).astype(np.int8)
    constants = {"w": (tensor("w", weights.shape, affine(0.01)), weights)}
    graph = between(DepthwiseConv2D(), [tensor("v0", (1, 6, 6, 4), affine(0.1))], constants, affine(0.1, 3))
    one = generate_apart(graph, "dsp", name="twice")
    assert "marram_portable_depthwise_conv2d" in one.files["twice.c"]
    check([one], tmp_path)


def test_overflow_is_refused() -> None:
    op = DepthwiseConv2D(padding=(1, 1, 1, 1))
    graph = convolution(6, 6, 4, (3, 3), op, out=affine(1e-7), seed=0, bias_of=2**30)
    with pytest.raises(UserError, match="int32"):
        generate_apart(graph, "dsp", name="over")
