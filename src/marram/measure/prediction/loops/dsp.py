"""Loops of ``firmware/kernels/dsp``: convolutions in tiles, fully connected layers, elementwise operators, pools."""

from __future__ import annotations

import re

import numpy as np

from marram.measure.prediction.c_text import arguments, fields, initialiser, number, numbers, trips
from marram.measure.prediction.loops.counting import (
    Counter,
    Loops,
    Window,
    Work,
    add,
    ceiling,
    chunks,
    copied,
    filled,
)

_TILE = re.compile(r"marram_dsp_tile_(\w+)")
_QUADS = re.compile(r"marram_dsp_quads_(raw|expanded)_(\w+)")


def _tiles(loops: Loops, tiles: float, ending: str, channels: int, groups: int) -> None:
    """``marram_dsp_outputs``: three pixels by pairs of channels; of an odd number the last two once more."""
    couples = tiles * ceiling(channels, 2)
    add(loops, "tile.calls", tiles * (2 if channels % 2 and channels > 1 else 1))
    add(loops, f"tile.{ending}", couples)
    if channels % 2:
        add(loops, "tile.single" if channels == 1 else "tile.odd", tiles)
    if ending == "exact":
        add(loops, "tile.exact_groups", couples * groups)
        return
    add(loops, "tile.groups", couples * groups)
    add(loops, "tile.eights", couples * ceiling(groups, 8))


def _gathered(loops: Loops, calls: float, groups: int) -> None:
    """``marram_dsp_gather``."""
    add(loops, "gather.calls", calls)
    add(loops, "gather.groups", calls * groups)
    add(loops, "gather.turns", calls * ceiling(groups, 2))


def _conv2d(work: Work) -> Loops:
    """Channels a multiple of 4: pixels are gathered where they stand, windows at a border tap by tap."""
    values = initialiser(work.text, "conv")
    w, groups = Window(fields(values[0])), number(values[1])
    found = _TILE.search(work.text)
    assert found is not None
    loops: Loops = {}
    first, last = chunks(work, w.out_width, 3)
    row, column = first // w.out_width, first % w.out_width
    top, left = row * w.stride_y - w.pad_top, column * w.stride_x - w.pad_left
    bottom = top + (w.kernel_height - 1) * w.dilation_y
    right = left + 2 * w.stride_x + w.kernel_width
    together = (last == first + 2) & (last // w.out_width == row) & (w.dilation_x == 1)
    inside = (top >= 0) & (bottom < w.in_height) & (left >= 0) & (right <= w.in_width)
    fast = int((together & inside).sum())
    slow = len(first) - fast
    add(loops, "conv2d.calls", work.calls)
    add(loops, "conv2d.tiles", len(first))
    add(loops, "conv2d.rows", work.rows)
    add(loops, "conv2d.fast", fast)
    add(loops, "conv2d.fast_rows", fast * w.kernel_height)
    _gathered(loops, fast * w.kernel_height, w.kernel_width * w.in_channels // 4)
    add(loops, "conv2d.slow", slow)
    add(loops, "conv2d.slow_rows", slow * w.kernel_height)
    _gathered(loops, slow * w.taps, w.in_channels // 4)
    chosen = ~(together & inside)
    pixels = np.minimum(np.stack([first, first + 1, first + 2])[:, chosen], last[chosen]).ravel()
    taps = w.rows_inside(pixels // w.out_width) * w.columns_inside(pixels % w.out_width)
    add(loops, "conv2d.taps_inside", taps.sum())
    add(loops, "conv2d.taps_outside", len(pixels) * w.taps - taps.sum())
    if w.ring:
        add(loops, "conv2d.ring_places", fast * w.kernel_height + taps.sum())
    if w.out_ring:
        add(loops, "conv2d.ring_pixels", 3 * len(first))
    _tiles(loops, len(first), found[1], w.out_channels, groups)
    return loops


def _pointwise(work: Work) -> Loops:
    """Pixels as vectors."""
    values = arguments(work.text, "marram_dsp_pointwise")
    pixels = values[2]
    by_rows = "row_end" in pixels
    counts = (work.ends - work.begins) * numbers(pixels)[0] if by_rows else np.full(work.calls, number(pixels))
    groups, channels = number(values[3]), number(values[4])
    tiles = int(ceiling(counts, 3).sum())
    loops: Loops = {}
    add(loops, "pointwise.calls", work.calls)
    add(loops, "pointwise.tiles", tiles)
    _gathered(loops, tiles, groups)
    _tiles(loops, tiles, values[6].removeprefix("marram_dsp_tile_"), channels, groups)
    return loops


def _staging(loops: Loops, work: Work, w: Window, name: str) -> None:
    """Windows copied byte for byte: whole rows inside of the image, pixel by pixel at its border."""
    rows, columns = work.each_row(), w.all_columns()
    inner_rows = (w.rows_inside(rows) == w.kernel_height) if w.kernel_height else rows >= 0
    inner_columns = (w.columns_inside(columns) == w.kernel_width) & (w.dilation_x == 1)
    inner = int(inner_rows.sum()) * int(inner_columns.sum())
    pixels = len(rows) * w.out_width
    border = pixels - inner
    add(loops, f"{name}.inner", inner)
    add(loops, f"{name}.inner_rows", inner * w.kernel_height)
    copied(loops, inner * w.kernel_height, w.kernel_width * w.in_channels)
    add(loops, f"{name}.border", border)
    add(loops, f"{name}.border_rows", border * w.kernel_height)
    all_taps = int(w.rows_inside(rows).sum()) * int(w.columns_inside(columns).sum())
    inside = all_taps - inner * w.taps
    add(loops, f"{name}.taps_inside", inside)
    add(loops, f"{name}.taps_outside", border * w.taps - inside)
    copied(loops, inside, w.in_channels)
    filled(loops, border * w.taps - inside, w.in_channels)
    if w.ring:
        add(loops, f"{name}.ring_rows", pixels * w.kernel_height)
    if w.out_ring:
        add(loops, f"{name}.out_ring", len(rows))


def _staged(work: Work) -> Loops:
    """Channels not a multiple of 4: three windows are copied, then gathered."""
    values = arguments(work.text, "marram_dsp_conv2d_staged")
    w, groups = Window(fields(values[0])), number(values[7])
    loops: Loops = {}
    tiles = int(ceiling((work.ends - work.begins) * w.out_width, 3).sum())
    add(loops, "staged.calls", work.calls)
    add(loops, "staged.rows", work.rows)
    add(loops, "staged.pixels", work.rows * w.out_width)
    add(loops, "staged.tiles", tiles)
    add(loops, "staged.cleared_words", work.calls * 3 * groups)
    _staging(loops, work, w, "staged")
    _gathered(loops, tiles, groups)
    _tiles(loops, tiles, values[6].removeprefix("marram_dsp_tile_"), w.out_channels, groups)
    return loops


def _quads(loops: Loops, calls: float, kernel: re.Match[str], channels: int, groups: int) -> None:
    """``marram_dsp_quads_*``: one vector by four channels at a time."""
    kind, ending = kernel[1], kernel[2]
    fours = calls * channels / 4
    add(loops, "quads.calls", calls)
    add(loops, f"quads.{ending}", fours)
    add(loops, f"quads.{kind}_groups", fours * groups)
    add(loops, "quads.turns", fours * ceiling(groups, 4))


def _lean(work: Work) -> Loops:
    """Window by window."""
    values = arguments(work.text, "marram_dsp_conv2d_lean")
    w, groups = Window(fields(values[0])), number(values[7])
    found = _QUADS.search(values[6])
    assert found is not None
    pixels = work.rows * w.out_width
    loops: Loops = {}
    add(loops, "lean.calls", work.calls)
    add(loops, "lean.rows", work.rows)
    add(loops, "lean.pixels", pixels)
    _staging(loops, work, w, "lean")
    add(loops, "beginning.groups", pixels * groups)
    _quads(loops, pixels, found, w.out_channels, groups)
    return loops


def _vector(work: Work) -> Loops:
    """A fully connected layer vector by vector: four channels at a time, the others singly."""
    rows = work.calls * trips(work.text)[0]
    loops: Loops = {}
    add(loops, "vector.calls", work.calls)
    add(loops, "vector.rows", rows)
    found = _QUADS.search(work.text)
    if found:
        values = arguments(work.text, found[0])
        groups = number(values[3])
        _quads(loops, rows, found, number(values[4]), groups)
        add(loops, f"{'beginning' if found[1] == 'raw' else 'expand'}.groups", rows * groups)
    if "marram_dsp_dense_single(" in work.text:
        values = arguments(work.text, "marram_dsp_dense_single")
        depth, channels = number(values[2]), number(values[3])
        add(loops, "single.rows", rows)
        add(loops, "single.channels", rows * channels)
        add(loops, "single.groups", rows * channels * (depth // 4))
        add(loops, "single.rest", rows * channels * (depth % 4))
    return loops


def stretches(work: Work, rows: dict[str, int]) -> tuple[int, int, int, int]:
    """Of an elementwise operator: stretches, groups of four elements in them, elements left over, and rows in rings."""
    whole = rows["a_rows"] == rows["b_rows"] == rows["out_rows"] == rows["height"]
    counts = (work.ends - work.begins) * rows["width"] if whole else np.full(work.rows, rows["width"])
    return len(counts), int((counts // 4).sum()), int((counts % 4).sum()), 0 if whole else len(counts)


def _clamps(low: str, high: str) -> str:
    return ("_low" if low != "-128" else "") + ("_high" if high != "127" else "")


def _elementwise(name: str, function: str) -> Counter:
    def count(work: Work) -> Loops:
        values = arguments(work.text, function)
        parts, fours, rest, ring = stretches(work, fields(values[0]))
        clamps = _clamps(values[-2], values[-1]) if name != "table" else ""
        loops: Loops = {}
        add(loops, f"{name}.calls", work.calls)
        add(loops, f"{name}.stretches", parts)
        add(loops, f"{name}.fours{clamps}", fours)
        add(loops, f"{name}.rest", rest)
        add(loops, f"{name}.ring", ring)
        return loops

    return count


def _average(work: Work) -> Loops:
    """Windows by four channels."""
    values = arguments(work.text, "marram_dsp_average_pool2d")
    w = Window(fields(values[0]))
    twice = "_twice" if ".twice = 1" in values[5] else ""
    rows = work.rows if "row_begin" in values[3] else w.out_height * work.calls
    windows = rows * w.out_width
    whole = w.kernel_width == w.in_width and not w.ring
    runs, pixels = (1, w.taps) if whole else (w.kernel_height, w.kernel_width)
    fours, rest = windows * (w.in_channels // 4), windows * (w.in_channels % 4)
    loops: Loops = {}
    add(loops, "average.calls", work.calls)
    add(loops, "average.rows", rows)
    add(loops, "average.windows", windows)
    add(loops, f"average.fours{twice}{_clamps(values[-2], values[-1])}", fours)
    add(loops, "average.runs", fours * runs)
    add(loops, "average.couples", fours * runs * (pixels // 2))
    add(loops, "average.odd", fours * runs * (pixels % 2))
    add(loops, f"average.rest{twice}", rest)
    add(loops, "average.rest_rows", rest * w.kernel_height)
    add(loops, "average.rest_taps", rest * w.taps)
    if w.ring:
        add(loops, "average.ring", fours * runs)
    return loops


def _maximum(work: Work) -> Loops:
    """Windows by four channels, places in the image only."""
    values = arguments(work.text, "marram_dsp_max_pool2d")
    w = Window(fields(values[0]))
    high = "" if values[-1] == f"{0x7F7F7F7F}u" else "_high"
    rows, columns = w.rows_inside(work.each_row()), w.columns_inside(w.all_columns())
    fours = w.in_channels // 4
    loops: Loops = {}
    add(loops, "maximum.calls", work.calls)
    add(loops, "maximum.rows", work.rows)
    add(loops, "maximum.windows", work.rows * w.out_width)
    add(loops, f"maximum.fours{high}", work.rows * w.out_width * fours)
    add(loops, f"maximum.lines{w.clipped}", int(rows.sum()) * w.out_width * fours)
    add(loops, f"maximum.taps{w.clipped}", int(rows.sum()) * int(columns.sum()) * fours)
    if w.ring:
        add(loops, "maximum.ring", int(rows.sum()) * w.out_width * fours)
    return loops


KERNELS: dict[str, Counter] = {
    "marram_dsp_conv2d": _conv2d,
    "marram_dsp_conv2d_staged": _staged,
    "marram_dsp_conv2d_lean": _lean,
    "marram_dsp_pointwise": _pointwise,
    "marram_dsp_dense_single": _vector,
    "marram_dsp_quads_raw_floored": _vector,
    "marram_dsp_quads_raw_away": _vector,
    "marram_dsp_quads_expanded_floored": _vector,
    "marram_dsp_quads_expanded_away": _vector,
    "marram_dsp_add": _elementwise("add", "marram_dsp_add"),
    "marram_dsp_mul": _elementwise("mul", "marram_dsp_mul"),
    "marram_dsp_table": _elementwise("table", "marram_dsp_table"),
    "marram_dsp_average_pool2d": _average,
    "marram_dsp_max_pool2d": _maximum,
}
