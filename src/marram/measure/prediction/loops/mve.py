"""Loops of ``firmware/kernels/mve``: vectors of 16 bytes, tails predicated."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from marram.measure.prediction.c_text import arguments, fields, initialiser, number, numbers
from marram.measure.prediction.loops.counting import Counter, Integers, Loops, Window, Work, add, ceiling
from marram.measure.prediction.loops.dsp import stretches

_MODE = re.compile(r"marram_mve_(?:conv2d|vectors|dense|add)_(\d+)\(")
_DEPTHWISE = re.compile(r"marram_mve_depthwise_conv2d_(\d+)_(\d)_(\d)_(\d)")


def _mode(work: Work) -> str:
    found = _MODE.search(work.text)
    assert found is not None
    return found[1]


def _products(loops: Loops, mode: str, pixels: Integers, outputs: int, depth: int) -> None:
    """Three vectors at a time, by four outputs, by 16 of depth."""
    blocks = int(ceiling(pixels, 3).sum())
    groups = blocks * ceiling(outputs, 4)
    add(loops, "products.calls", len(pixels))
    add(loops, "products.blocks", blocks)
    add(loops, f"products.groups_{mode}", groups)
    add(loops, "products.steps", groups * ceiling(depth, 16))


def _copied(loops: Loops, runs: float, size: int) -> None:
    """``marram_mve_copy`` of ``runs`` runs, one call left out."""
    if size <= 16:
        add(loops, "mve_copy.narrow", runs)
    else:
        add(loops, "mve_copy.runs", runs)
        add(loops, "mve_copy.vectors", runs * ceiling(size, 16))


def _filled(loops: Loops, calls: float, runs: float, size: int) -> None:
    add(loops, "mve_fill.calls", calls)
    add(loops, "mve_fill.runs", runs)
    add(loops, "mve_fill.vectors", runs * ceiling(size, 16))


def _conv2d(work: Work) -> Loops:
    values = initialiser(work.text, "conv")
    w = Window(fields(values[0]))
    depth, outputs = (int(value) for value in numbers(values[1].replace("@weights@", "").replace("@channels@", ""))[:2])
    chunk, row_pixels = number(values[3]), number(values[4])
    rows: Integers
    if row_pixels:
        begins, ends, rows = work.begins * row_pixels, work.ends * row_pixels, np.zeros(work.calls, np.int64)
    else:
        rows = work.each_row()
        begins, ends = np.zeros(len(rows), np.int64), np.full(len(rows), w.out_width)
    parts = ceiling(ends - begins, chunk)
    index = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    first = np.repeat(begins, parts) + index * chunk
    pixels = np.minimum(np.repeat(ends, parts) - first, chunk)
    row = np.repeat(rows, parts)
    loops: Loops = {}
    add(loops, "mve_conv.calls", work.calls)
    add(loops, "mve_conv.rows", work.rows)
    add(loops, "mve_conv.chunks", len(first))
    _columns(loops, w, row, first, pixels)
    _products(loops, _mode(work), pixels, outputs, depth)
    return loops


def _columns(loops: Loops, w: Window, row: Integers, first: Integers, pixels: Integers) -> None:
    """``marram_mve_take_columns`` of every chunk."""
    left = first * w.stride_x - w.pad_left
    count = (pixels - 1) * w.stride_x + w.kernel_width
    begin = np.maximum(-left, 0)
    past = np.minimum(w.in_width - left, count)
    inside = np.where(past > begin, w.rows_inside(row), 0)
    outside = w.kernel_height - inside
    add(loops, "mve_conv.lines", len(first) * w.kernel_height)
    add(loops, "mve_conv.copied", int(inside.sum()))
    if w.ring:
        add(loops, "mve_conv.ring", int(inside.sum()))
    _filled(loops, int(outside.sum()), int((outside * count).sum()), w.in_channels)
    if w.kernel_height == 1:
        sizes = (past - begin)[inside > 0] * w.in_channels
        add(loops, "mve_copy.narrow", int((sizes <= 16).sum()))
        add(loops, "mve_copy.runs", int((sizes > 16).sum()))
        add(loops, "mve_copy.vectors", int(ceiling(sizes, 16)[sizes > 16].sum()))
    else:
        _copied(loops, int(((past - begin) * inside).sum()), w.in_channels)
        add(loops, "mve_copy.wide_calls", int(inside.sum()) if w.in_channels > 16 else 0)
    for extra in (begin, count - past):
        chosen = np.where(extra > 0, inside, 0)
        _filled(loops, int(chosen.sum()), int((chosen * np.maximum(extra, 0)).sum()), w.in_channels)


def _layer(work: Work, rows: int) -> tuple[int, int, int]:
    depth, outputs = (number(value) for value in initialiser(work.text, "layer")[2:4])
    return depth, outputs, rows


def _vectors(work: Work) -> Loops:
    mode = _mode(work)
    depth, outputs, rows = _layer(work, number(arguments(work.text, f"marram_mve_vectors_{mode}")[3]))
    loops: Loops = {}
    add(loops, "vectors.calls", work.calls)
    _products(loops, mode, np.full(work.calls, rows), outputs, depth)
    return loops


def _dense(work: Work) -> Loops:
    mode = _mode(work)
    depth, outputs, rows = _layer(work, number(arguments(work.text, f"marram_mve_dense_{mode}")[3]))
    groups = work.calls * rows * ceiling(outputs, 4)
    loops: Loops = {}
    add(loops, "mve_dense.calls", work.calls)
    add(loops, "mve_dense.rows", work.calls * rows)
    add(loops, f"mve_dense.groups_{mode}", groups)
    add(loops, "mve_dense.steps", groups * ceiling(depth, 16))
    return loops


def _depthwise(work: Work) -> Loops:
    """Strips of four rows of some channels, then turns over them channel by channel."""
    found = _DEPTHWISE.search(work.text)
    assert found is not None
    group, mode, pair, _ = (int(part) for part in found.groups())
    w = Window(fields(work.text))
    counts = work.ends - work.begins
    strips = int(ceiling(counts, 2).sum()) if pair else work.rows
    groups = ceiling(w.in_channels, group)
    right = (w.out_width - 1) * w.stride_x + w.kernel_width - w.pad_left - w.in_width
    columns = w.in_width + min(right, 0)
    each = 2 if pair else 4
    turns = w.out_width // each + (w.out_width % each > 0)
    kind = "pair" if pair else "four"
    loops: Loops = {}
    add(loops, "mve_dw.calls", work.calls)
    add(loops, "mve_dw.groups", work.calls * groups)
    add(loops, f"mve_dw.strips_{kind}", strips * groups)
    add(loops, "mve_dw.columns", strips * groups * columns)
    if w.ring:
        add(loops, "mve_dw.ring", strips * groups)
    add(loops, f"mve_dw.channels_{kind}", strips * w.in_channels)
    add(loops, "mve_dw.split", strips * w.in_channels * (w.out_width % each > 0 and w.out_width > each))
    add(loops, f"mve_dw.turns_{kind}_{mode}", strips * w.in_channels * turns)
    if work.in_place:
        add(loops, "mve_dw.saved", strips * groups * columns)
        _filled(loops, work.calls * groups, work.calls * groups, w.in_width * group)
    if w.pad_left:
        _filled(loops, strips * groups, strips * groups, w.pad_left * group * 4)
    if right > 0:
        _filled(loops, strips * groups, strips * groups, right * group * 4)
    return loops


def _elementwise(name: str, lanes: int) -> Counter:
    def count(work: Work) -> Loops:
        sizes = fields(work.text)
        parts, _, _, ring = stretches(work, sizes)
        each = work.rows * sizes["width"] // max(parts, 1)
        kind = f"_{_mode(work)}" if name == "mve_add" else ""
        loops: Loops = {}
        add(loops, f"{name}.calls", work.calls)
        add(loops, f"{name}.stretches", parts)
        add(loops, f"{name}.vectors{kind}", parts * ceiling(each, lanes))
        add(loops, f"{name}.ring", ring)
        return loops

    return count


def _pooled(name: str, lanes: int) -> Counter:
    def count(work: Work) -> Loops:
        w = Window(fields(work.text))
        rows, columns = int(w.rows_inside(work.each_row()).sum()), int(w.columns_inside(w.all_columns()).sum())
        vectors = ceiling(w.in_channels, lanes)
        loops: Loops = {}
        add(loops, f"{name}.calls", work.calls)
        add(loops, f"{name}.rows", work.rows)
        add(loops, f"{name}.windows", work.rows * w.out_width)
        add(loops, f"{name}.vectors", work.rows * w.out_width * vectors)
        add(loops, f"{name}.lines", rows * w.out_width * vectors)
        add(loops, f"{name}.taps", rows * columns * vectors)
        if w.ring:
            add(loops, f"{name}.ring", rows * w.out_width * vectors)
        return loops

    return count


def _modes(prefix: str, count: Callable[[Work], Loops], modes: int) -> dict[str, Counter]:
    return {f"{prefix}_{mode}": count for mode in range(modes)}


KERNELS: dict[str, Counter] = {
    **_modes("marram_mve_conv2d", _conv2d, 4),
    **_modes("marram_mve_vectors", _vectors, 4),
    **_modes("marram_mve_dense", _dense, 4),
    **_modes("marram_mve_add", _elementwise("mve_add", 4), 16),
    "marram_mve_table": _elementwise("mve_table", 16),
    "marram_mve_average_pool2d": _pooled("mve_average", 4),
    "marram_mve_max_pool2d": _pooled("mve_maximum", 16),
}
DEPTHWISE = "marram_mve_depthwise_conv2d_"


def depthwise(work: Work) -> Loops:
    """Any layer of ``marram_mve_depthwise_conv2d_*``."""
    return _depthwise(work)
