"""Counts of windows against loops that walk every pixel."""

from __future__ import annotations

import numpy as np
import pytest

from marram.compile.c.place import Routine
from marram.measure.prediction.loops.counting import Window, Work, chunks
from marram.measure.prediction.work import loops_of

FIELDS = (
    *("in_height", "in_width", "in_channels", "in_rows", "out_height", "out_width", "out_channels", "out_rows"),
    *("kernel_height", "kernel_width", "stride_y", "stride_x", "dilation_y", "dilation_x", "pad_top", "pad_left"),
)


def window_fields(rng: np.random.Generator) -> dict[str, int]:
    kernel = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    stride, dilation = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    height, width = (int(size) for size in rng.integers(6, 14, 2))
    pads = int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1]))
    out = [
        (size + 2 * pad - (k - 1) * dilation - 1) // stride + 1
        for size, pad, k in zip((height, width), pads, kernel, strict=True)
    ]
    values = (height, width, 8, height, *out[:2], 8, out[0], *kernel, stride, stride, dilation, dilation, *pads)
    return dict(zip(FIELDS, values, strict=True))


@pytest.mark.parametrize("seed", range(10))
def test_places_inside_of_the_image_are_counted_as_a_walk_counts_them(seed: int) -> None:
    w = Window(window_fields(np.random.default_rng(seed)))
    for row in range(w.out_height):
        places = [row * w.stride_y - w.pad_top + k * w.dilation_y for k in range(w.kernel_height)]
        assert w.rows_inside(np.array([row]))[0] == sum(0 <= place < w.in_height for place in places)
    for column in range(w.out_width):
        places = [column * w.stride_x - w.pad_left + k * w.dilation_x for k in range(w.kernel_width)]
        assert w.columns_inside(np.array([column]))[0] == sum(0 <= place < w.in_width for place in places)


def test_chunks_are_of_one_call_each() -> None:
    work = Work(text="", shared="", begins=np.array([0, 2]), ends=np.array([2, 3]))
    first, last = chunks(work, 5, 3)
    assert list(zip(first.tolist(), last.tolist(), strict=True)) == [(0, 2), (3, 5), (6, 8), (9, 9), (10, 12), (13, 14)]
    assert work.each_row().tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(10))
def test_tiles_of_a_convolution_are_those_of_the_kernel(seed: int) -> None:
    """``marram_dsp_conv2d`` written out: which tiles are gathered row by row, and which taps lie outside of the image."""
    fields = window_fields(np.random.default_rng(seed))
    w = Window(fields)
    text = ", ".join(f".{name} = {value}" for name, value in fields.items())
    conv = f"static const marram_dsp_conv conv = {{{{{text}}}, 8, 1, @stream@, marram_dsp_tile_away, 0}};"
    body = f"{conv}\nmarram_dsp_conv2d(&conv);"
    window = Routine(includes=(), body=body, windows=())
    found = loops_of(window, ((0, w.out_height),))
    pixels = [(y, x) for y in range(w.out_height) for x in range(w.out_width)]
    tiles = [pixels[at : at + 3] for at in range(0, len(pixels), 3)]
    fast = outside = 0
    for tile in tiles:
        whole = tile + [tile[0]] * (3 - len(tile))
        places = [(y * w.stride_y - w.pad_top, x * w.stride_x - w.pad_left) for y, x in whole]
        beside = places[0][0] == places[2][0] and places[2][1] - places[0][1] == 2 * w.stride_x and w.dilation_x == 1
        bottom = places[0][0] + (w.kernel_height - 1) * w.dilation_y < w.in_height
        inside = places[0][0] >= 0 and bottom and places[0][1] >= 0 and places[2][1] + w.kernel_width <= w.in_width
        if beside and inside:
            fast += 1
            continue
        for y, x in [*tile, *[tile[-1]] * (3 - len(tile))]:
            for ky in range(w.kernel_height):
                for kx in range(w.kernel_width):
                    at = (y * w.stride_y - w.pad_top + ky * w.dilation_y, x * w.stride_x - w.pad_left + kx * w.dilation_x)
                    outside += not (0 <= at[0] < w.in_height and 0 <= at[1] < w.in_width)
    assert found.get("conv2d.fast", 0) == fast
    assert found["conv2d.tiles"] == len(tiles)
    assert found.get("conv2d.taps_outside", 0) == outside
    assert found["tile.away"] == len(tiles) * 4
