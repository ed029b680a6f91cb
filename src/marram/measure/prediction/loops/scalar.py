"""Loops of ``armv6m``, ``armv7m`` and the weighted layers of ``portable``: blocks of pixels, groups of channels, bands."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from marram.measure.prediction.c_text import arguments, fields, initialiser, number, numbers
from marram.measure.prediction.loops.counting import Counter, Integers, Loops, Window, Work, add, ceiling, chunks

_COLUMNS = re.compile(r"marram_armv\dm_columns_(\d)_(\d)")
_READS = {"MARRAM_READS_PIXELS": "pixels", "MARRAM_READS_ROWS": "rows", "MARRAM_GATHERS": "gathers"}


def _delivered(loops: Loops, times: float, size: int, *, clamps: bool) -> None:
    """``marram_deliver``: words where all is aligned."""
    add(loops, "deliver.calls", times)
    if clamps:
        add(loops, "deliver.clamped", times * size)
    elif size % 4 == 0:
        add(loops, "deliver.words", times * size // 4)
    else:
        add(loops, "deliver.bytes", times * size)


def _product(loops: Loops, name: str, blocks: float, groups: int, *, stretches: int, length: int) -> None:
    """The inner product of blocks of pixels with all channels."""
    times = blocks * groups
    add(loops, f"{name}.calls", blocks)
    add(loops, f"{name}.groups", times)
    add(loops, f"{name}.stretches", times * stretches)
    add(loops, f"{name}.steps", times * stretches * length)
    add(loops, f"{name}.eights", times * stretches * ceiling(length, 8))


def _layer(work: Work) -> tuple[Window, list[str]]:
    values = initialiser(work.text, "layer")
    return Window(fields(values[0])), values


def _blocks(name: str, pixels: int) -> Counter:
    """``marram_blocks_run``."""

    def count(work: Work) -> Loops:
        w, values = _layer(work)
        groups, reads, clamps = number(values[3]), values[5], values[6] == "1"
        loops: Loops = {}
        first, last = chunks(work, w.out_width, pixels)
        add(loops, "blocks.calls", work.calls)
        add(loops, "blocks.blocks", len(first))
        add(loops, "blocks.pixels", pixels * len(first))
        add(loops, "blocks.rows", work.rows)
        _delivered(loops, work.rows * w.out_width, w.out_channels, clamps=clamps)
        kinds = np.full(len(first), _READS.get(reads, ""), "<U7")
        if reads == "MARRAM_LOOKS":
            kinds[:] = np.where(_inside_columns(w, first % w.out_width, pixels), "rows", "pixels")
        for kind in ("gathers", "rows", "pixels"):
            chosen = kinds == kind
            times = int(chosen.sum())
            if not times:
                continue
            made = pixels * times
            if kind == "gathers":
                at = np.minimum(first[:, None] + np.arange(pixels), last[:, None]).ravel()
                _gathered(loops, w, at)
                _product(loops, name, times, groups, stretches=1, length=w.taps * w.in_channels)
                continue
            add(loops, "taps.rows_calls", made)
            add(loops, "taps.rows", made * w.kernel_height)
            if w.ring:
                add(loops, "taps.ring", made * w.kernel_height)
            if kind == "rows":
                _product(loops, name, times, groups, stretches=w.kernel_height, length=w.kernel_width * w.in_channels)
            else:
                _taps_of_pixels(loops, w, made)
                _product(loops, name, times, groups, stretches=w.taps, length=w.in_channels)
        return loops

    return count


def _inside_columns(w: Window, column: Integers, pixels: int) -> NDArray[np.bool_]:
    last = column + pixels - 1
    inside = (column * w.stride_x >= w.pad_left) & (last < w.out_width)
    found: NDArray[np.bool_] = inside & (last * w.stride_x - w.pad_left + w.kernel_width <= w.in_width) & (w.dilation_x == 1)
    return found


def _taps_of_pixels(loops: Loops, w: Window, pixels: float) -> None:
    add(loops, "taps.pixels_calls", pixels)
    add(loops, "taps.pixels_rows", pixels * w.kernel_height)
    add(loops, "taps.pixels", pixels * w.taps)


def _gathered(loops: Loops, w: Window, pixels: Integers) -> None:
    """``marram_gather``: windows are copied, whole rows of them or pixel by pixel."""
    rows, columns = pixels // w.out_width, pixels % w.out_width
    whole = (w.columns_inside(columns) == w.kernel_width) & (w.dilation_x == 1)
    wide = w.kernel_width * w.in_channels
    inside = w.rows_inside(rows)
    lines = int(np.where(whole, w.kernel_height, w.kernel_height - inside).sum())
    places = int(np.where(whole, 0, inside).sum()) * w.kernel_width
    add(loops, "window.calls", len(pixels))
    add(loops, "window.rows", len(pixels) * w.kernel_height)
    add(loops, "window.places", places)
    for times, size in ((lines, wide), (places, w.in_channels)):
        add(loops, "window.copies", times)
        add(loops, "window.words", times * (size // 4))
        add(loops, "window.rest", times * (size % 4))
        add(loops, "window.bytes", times * size)


def _flat(name: str, pixels: int, function: str) -> Counter:
    """``marram_blocks_run_flat``."""

    def count(work: Work) -> Loops:
        w, values = _layer(work)
        counts = (work.ends - work.begins) * numbers(arguments(work.text, function)[3])[-1]
        blocks = int(ceiling(counts, pixels).sum())
        loops: Loops = {}
        add(loops, "flat.calls", work.calls)
        add(loops, "flat.blocks", blocks)
        _delivered(loops, int(counts.sum()), w.out_channels, clamps=values[6] == "1")
        _product(loops, name, blocks, number(values[3]), stretches=1, length=w.in_channels)
        return loops

    return count


def _dense(name: str, size: int, function: str) -> Counter:
    """``marram_dense_run``: groups of ``size`` channels, and those left over."""

    def count(work: Work) -> Loops:
        depth, groups = (number(value) for value in initialiser(work.text, "full")[:2])
        values = arguments(work.text, function)
        rows, outputs = work.calls * number(values[4]), number(values[5])
        left = outputs % size
        loops: Loops = {}
        add(loops, "dense.calls", work.calls)
        add(loops, "dense.rows", rows)
        for part in (groups, int(left > 0)):
            if part:
                add(loops, f"{name}.calls", rows)
                add(loops, f"{name}.groups", rows * part)
                add(loops, f"{name}.steps", rows * part * depth)
                add(loops, f"{name}.eights", rows * part * ceiling(depth, 8))
        if left:
            add(loops, "deliver.calls", rows)
            add(loops, "deliver.bytes", rows * left)
        if (values[6], values[7]) != ("-128", "127"):
            _delivered(loops, rows, outputs, clamps=True)
        return loops

    return count


def _bands(work: Work) -> Loops:
    """``marram_bands_run``: a channel's rows are gathered into a band, then columns are made a few at a time."""
    w, values = _layer(work)
    pitch, wide, tall, by_rows = (number(value) for value in values[4:8])
    clamps = values[9] == "1"
    found = _COLUMNS.search(work.text)
    assert found is not None
    loops: Loops = {}
    counts = work.ends - work.begins
    strips = work.rows if by_rows else int(ceiling(counts, tall).sum())
    add(loops, "bands.calls", work.calls)
    add(loops, "bands.filled", work.calls * pitch * ((tall - 1) * w.stride_y + 3))
    top = work.begins * w.stride_y - w.pad_top
    if by_rows:
        rows = work.each_row()
        held, inside = 3 * len(rows), int(w.rows_inside(rows).sum())
        _delivered(loops, len(rows), w.out_width * w.out_channels, clamps=clamps)
        add(loops, "bands.rows", work.rows)
    else:
        spans = (counts - 1) * w.stride_y + 3
        held = int(spans.sum())
        inside = int(np.clip(np.minimum(top + spans, w.in_height) - np.maximum(top, 0), 0, None).sum())
        add(loops, "bands.again", w.out_channels * (strips - work.calls) * (3 - w.stride_y) * pitch)
        if clamps:
            _delivered(loops, work.calls, work.rows // work.calls * w.out_width * w.out_channels, clamps=True)
    channels = w.out_channels
    count = min(pitch - w.pad_left, w.in_width)
    add(loops, "bands.channels", channels * work.calls)
    add(loops, "bands.runs", channels * strips)
    add(loops, "bands.gathered_rows", channels * held)
    add(loops, "bands.gathered_fours", channels * inside * (count // 4))
    add(loops, "bands.gathered_rest", channels * inside * (count % 4))
    add(loops, "bands.outside", channels * (held - inside) * count)
    turns, stride = channels * ceiling(w.out_width, wide), found[2]
    add(loops, "columns.calls", turns * strips)
    add(loops, f"columns.rows_{stride}", turns * work.rows)
    add(loops, f"columns.outputs_{stride}", turns * work.rows * wide)
    return loops


def _depthwise(work: Work) -> Loops:
    """Portable: pixel by pixel, four channels at a time where each input has one output."""
    w, _ = _layer(work)
    pixels = work.rows * w.out_width
    loops: Loops = {}
    add(loops, "portable_dw.calls", work.calls)
    add(loops, "portable_dw.pixels", pixels)
    add(loops, "portable_dw.rows", work.rows)
    add(loops, "taps.rows_calls", pixels)
    add(loops, "taps.rows", pixels * w.kernel_height)
    if w.ring:
        add(loops, "taps.ring", pixels * w.kernel_height)
    _taps_of_pixels(loops, w, pixels)
    fours = w.out_channels // 4 if w.in_channels == w.out_channels else 0
    rest = w.out_channels - 4 * fours
    add(loops, "portable_dw.fours", pixels * fours)
    add(loops, "portable_dw.fours_taps", pixels * fours * w.taps)
    add(loops, "portable_dw.rest", pixels * rest)
    add(loops, "portable_dw.rest_taps", pixels * rest * w.taps)
    return loops


def _portable_dense(work: Work) -> Loops:
    depth, outputs = (number(value) for value in initialiser(work.text, "layer")[2:4])
    rows = work.calls * number(arguments(work.text, "marram_portable_dense")[3])
    loops: Loops = {}
    add(loops, "portable_dense.calls", work.calls)
    add(loops, "portable_dense.rows", rows)
    add(loops, "portable_dense.fours", rows * (outputs // 4))
    add(loops, "portable_dense.fours_steps", rows * (outputs // 4) * depth)
    add(loops, "portable_dense.rest", rows * (outputs % 4))
    add(loops, "portable_dense.rest_steps", rows * (outputs % 4) * depth)
    return loops


KERNELS: dict[str, Counter] = {
    "marram_armv6m_conv2d": _blocks("product", 4),
    "marram_armv6m_conv2d_flat": _flat("product", 4, "marram_armv6m_conv2d_flat"),
    "marram_armv6m_dense": _dense("dense_product", 4, "marram_armv6m_dense"),
    "marram_armv7m_conv2d": _blocks("product", 2),
    "marram_armv7m_conv2d_flat": _flat("product", 2, "marram_armv7m_conv2d_flat"),
    "marram_armv7m_dense": _dense("dense_product", 8, "marram_armv7m_dense"),
    "marram_bands_run": _bands,
    "marram_portable_conv2d": _blocks("portable_product", 2),
    "marram_portable_conv2d_flat": _flat("portable_product", 2, "marram_portable_conv2d_flat"),
    "marram_portable_depthwise_conv2d": _depthwise,
    "marram_portable_dense": _portable_dense,
}
