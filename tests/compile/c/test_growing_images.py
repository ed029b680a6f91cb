"""Transposed convolutions and resizes: the reference's bytes, whole, over rings and in the smallest arena."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.compile.c.arrangements import Plan, between, extremes, generate_by, in_turn, rolled, tensor
from tests.compile.c.hosting import Host, differing
from tests.model.graphs import affine

from marram.compile.c.families import FAMILIES
from marram.compile.c.generation import Generated, generate
from marram.compile.c.kernels.portable.resize import resize
from marram.compile.c.kernels.portable.transpose_conv2d import transpose_conv2d
from marram.compile.c.layers import layers_of
from marram.compile.c.lowering import lower
from marram.compile.c.place import Place, Window
from marram.core.graph import Graph
from marram.core.operators import Resize, TransposeConv2D
from marram.model.reference.resizing import integer_line, nearest_places

PLANS: list[Plan] = [in_turn, rolled(1), rolled(3, spare=1)]
TRANSPOSED = [
    (TransposeConv2D(stride=(2, 2)), (5, 4), (2, 2)),
    (TransposeConv2D(stride=(2, 2), padding=(1, 1, 1, 1), output_padding=(1, 1)), (6, 5), (3, 3)),
    (TransposeConv2D(stride=(2, 1), padding=(1, 1, 1, 0)), (4, 6), (4, 2)),
    (TransposeConv2D(stride=(3, 3)), (3, 4), (2, 1)),  # rows between which nothing arrives
    (TransposeConv2D(padding=(2, 0, 1, 1)), (6, 3), (3, 3)),
    (TransposeConv2D(stride=(1, 2), padding=(1, 1, 0, 1)), (1, 9), (3, 4)),  # a sequence
]
RESIZED = [
    (Resize(size=(size, 2 * size - 3), method=method, align_corners=flags[0], half_pixel_centers=flags[1]), shape)
    for method in ("nearest", "bilinear")
    for flags in ((False, False), (True, False), (False, True))
    for size, shape in ((10, (5, 4)), (4, (9, 8)), (7, (5, 6)))
]


def transposed(op: TransposeConv2D, image: tuple[int, int], kernel: tuple[int, int], outputs: int = 3) -> Graph:
    weights = np.random.default_rng(sum(kernel)).integers(-127, 128, (outputs, *kernel, 2)).astype(np.int8)
    constants = {"w": (tensor("w", weights.shape, affine(0.02, 0)), weights)}
    return between(op, [tensor("v0", (1, *image, 2), affine(0.05, 3))], constants, affine(0.4, -7))


def resized(op: Resize, image: tuple[int, int]) -> Graph:
    return between(op, [tensor("v0", (1, *image, 3), affine(0.05, 3))], {}, affine(0.05, 3))


def place_of(graph: Graph) -> Place:
    one = layers_of(lower(graph)).layers[1]
    assert isinstance(one.node.op, Resize | TransposeConv2D)
    return Place(name=one.name, site=one.site, in_rows=(one.site.input(0).shape[1],), out_rows=one.site.output.shape[1])


def equal(found: list[Generated], folder: Path) -> None:
    inputs = [extremes(one.graph, seed=index) for index, one in enumerate(found)]
    outputs = Host(found, folder).run(inputs)
    problems = [differing(*each) for each in zip(found, inputs, outputs, strict=True)]
    assert not [problem for problem in problems if problem]


def every(graphs: list[Graph]) -> list[Generated]:
    made = [
        generate_by(plan, graph, "portable", name=f"g{i}_{j}") for i, graph in enumerate(graphs) for j, plan in enumerate(PLANS)
    ]
    return [*made, *(generate(one, FAMILIES["dsp"], name=f"s{i}", arena_limit_bytes=1) for i, one in enumerate(graphs))]


def test_transposed_convolutions(tmp_path: Path) -> None:
    """Output channels are made four, two or one at a time."""
    outputs = (3, 8, 6, 4, 1, 2)
    equal(every([transposed(*each, count) for each, count in zip(TRANSPOSED, outputs, strict=True)]), tmp_path)


def test_resizes(tmp_path: Path) -> None:
    sequence = Resize(size=(1, 12), method="bilinear", half_pixel_centers=True), (1, 5)
    grown = Resize(size=(4, 6), method="nearest"), (1, 3)
    equal(every([resized(*each) for each in (*RESIZED, sequence, grown)]), tmp_path)


@pytest.mark.parametrize(("op", "image"), RESIZED)
def test_windows_of_resizes_hold_what_is_read(op: Resize, image: tuple[int, int]) -> None:
    answer = resize(place_of(resized(op, image)))
    for window, size_in, size_out in zip((answer.windows, answer.columns), image, op.size, strict=True):
        assert window
        if op.method == "nearest":
            read = nearest_places(size_in, size_out, align_corners=op.align_corners, half_pixel_centers=op.half_pixel_centers)
            lines = [(int(place), int(place)) for place in read]
        else:
            lower_places, upper_places, _ = integer_line(op, size_in, size_out)
            lines = list(zip(lower_places.tolist(), upper_places.tolist(), strict=True))
        needed = [window[0].needed(row, row + 1, size_in) for row in range(size_out)]
        assert all(first <= low and high < past for (first, past), (low, high) in zip(needed, lines, strict=True))


@pytest.mark.parametrize(("op", "image", "kernel"), TRANSPOSED[:-1])
def test_windows_of_transposed_convolutions_hold_what_is_read(op, image, kernel) -> None:
    answer = transpose_conv2d(place_of(transposed(op, image, kernel)))
    for axis, windows in enumerate((answer.windows, answer.columns)):
        size, stride, before = kernel[axis], op.stride[axis], op.padding[2 * axis]
        for row in range(place_of(transposed(op, image, kernel)).site.output.shape[1 + axis]):
            read = [(row + before - k) // stride for k in range(size) if (row + before - k) % stride == 0]
            first, past = windows[0].needed(row, row + 1, image[axis])
            assert all(first <= y < past for y in read if 0 <= y < image[axis])


def test_growth_by_two_asks_for_one_row_for_two() -> None:
    by_two = resize(place_of(resized(Resize(size=(10, 8), method="nearest"), (5, 4))))
    assert by_two.windows == (Window(rate=2),)
    assert transpose_conv2d(place_of(transposed(*TRANSPOSED[0]))).windows == (Window(rate=2),)


def test_images_grow_over_the_smaller_ones_that_die() -> None:
    """The two images before the resize stand where the last rows of the output are made at the end."""
    one = generate(resized(Resize(size=(64, 64), method="bilinear"), (32, 32)), FAMILIES["dsp"])
    output = 64 * 64 * 3
    assert output <= one.plan.arena_bytes <= output + 2 * 64 * 3
