"""Loops of ``firmware/kernels/dsp/depthwise_conv2d.h``: planes of int16 are gathered, then the kernel runs over them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from marram.measure.prediction.c_text import fields
from marram.measure.prediction.loops.counting import Integers, Loops, Window, Work, add, ceiling

_3X3, _LINE = 1, 2


class _Layer:
    """Sizes, and the way of work, of one depthwise convolution."""

    def __init__(self, text: str) -> None:
        found = fields(text)
        self.w = Window(found)
        self.kind, self.pitch, self.band, self.group = (found[name] for name in ("kind", "pitch", "band", "group"))
        self.words = found["words"]
        self.reach = (self.w.kernel_height - 1) * self.w.dilation_y + 1
        clamps = ("_low" if found["low"] > -128 else "") + ("_high" if found["high"] < 127 else "")
        self.variant = ("_away" if found["away"] else "") + clamps
        fours = self.w.in_channels // 4 if self.group == 4 else 0
        self.runs = ((4, fours), (1, self.w.in_channels - 4 * fours))


def depthwise(work: Work) -> Loops:
    """Any layer of the family."""
    layer = _Layer(work.shared)
    loops: Loops = {}
    line = layer.kind == _LINE
    rows_held = 1 if line else (layer.band - 1) * layer.w.stride_y + layer.reach
    add(loops, "dw.calls", work.calls)
    _filled(loops, work.calls, layer.group * rows_held * layer.pitch // 2)
    for group, times in layer.runs:
        if times:
            (_line if line else _bands)(loops, work, layer, group, times)
    return loops


def _filled(loops: Loops, times: float, words: int) -> None:
    add(loops, "dw.fills", times)
    add(loops, "dw.fill_words", times * (words // 4))
    add(loops, "dw.fill_rest", times * (words % 4))


def _gathered(loops: Loops, group: int, times: float, counts: Integers | int, odd: Integers | int) -> None:
    """Pixels into planes: one at an odd place first, then pairs, then what is left."""
    pixels = np.atleast_1d(np.asarray(counts))
    first = np.minimum(np.asarray(odd), pixels)
    pairs = (pixels - first) // 2
    add(loops, f"dw.gather{group}", times * len(pixels))
    add(loops, f"dw.gather{group}_pairs", times * int(pairs.sum()))
    add(loops, f"dw.gather{group}_singles", times * int((pixels - 2 * pairs).sum()))


def _bands(loops: Loops, work: Work, layer: _Layer, group: int, times: int) -> None:
    w = layer.w
    counts = work.ends - work.begins
    bands = ceiling(counts, layer.band)
    again = max(layer.reach - w.stride_y, 0)
    top = work.begins * w.stride_y - w.pad_top
    held = (counts - 1) * w.stride_y + layer.reach - (bands - 1) * max(w.stride_y - layer.reach, 0)
    inside = np.clip(np.minimum(top + held, w.in_height) - np.maximum(top, 0), 0, None)
    total, in_image = int(held.sum()), int(inside.sum())
    several = counts > layer.band
    blank = int(((held - inside) * several).sum())
    add(loops, f"dw.runs{group}", times * work.calls)
    add(loops, f"dw.bands{group}", times * int(bands.sum()))
    add(loops, f"dw.rows{group}", times * total)
    if again:
        words = again * layer.pitch // 2
        moves = times * group * int((bands - 1).sum())
        add(loops, "dw.moves", moves)
        add(loops, "dw.move_words", moves * (words // 4))
        add(loops, "dw.move_rest", moves * (words % 4))
    _filled(loops, times * group * blank, layer.pitch // 2)
    if in_image:
        _gathered(loops, group, times * in_image, w.in_width, w.pad_left & 1)
    if w.ring:
        add(loops, "dw.ring_rows", times * in_image)
    runs = times * group * int(bands.sum())
    add(loops, "dw.channels", runs)
    if w.out_ring:
        add(loops, "dw.out_ring", runs)
        add(loops, "dw.out_pieces", times * group * len(_pieces(work.begins, work.ends, w.out_rows)))
    _kernel(loops, layer, runs, times * group * work.rows)


def _kernel(loops: Loops, layer: _Layer, runs: float, rows: float) -> None:
    """Output rows of one channel, ``runs`` stretches of them."""
    w = layer.w
    if layer.kind != _3X3:
        _any(loops, layer, runs, rows, w.out_width)
        return
    name = f"dw3x3s{w.stride_x}"
    add(loops, f"{name}.runs", runs)
    add(loops, f"{name}.rows", rows)
    if w.stride_x == 1:
        pairs = w.out_width // 2
        add(loops, f"{name}.pairs{layer.variant}", rows * pairs)
        add(loops, f"{name}.doubles", rows * (pairs // 2))
        add(loops, f"{name}.singles{layer.variant}", rows * (w.out_width % 2))
    else:
        add(loops, f"{name}.outputs{layer.variant}", rows * w.out_width)


def _any(loops: Loops, layer: _Layer, runs: float, rows: float, width: float) -> None:
    kernel_rows = 1 if layer.kind == _LINE else layer.w.kernel_height
    pairs = rows * ((width + 1) // 2)
    short = min(layer.words, 4)
    add(loops, "dwany.runs", runs)
    add(loops, "dwany.rows", rows)
    add(loops, f"dwany.pairs{layer.variant}", pairs)
    add(loops, f"dwany.lines{short}", pairs * kernel_rows)
    add(loops, "dwany.steps", pairs * kernel_rows * layer.words)


def _line(loops: Loops, work: Work, layer: _Layer, group: int, times: int) -> None:
    """A sequence: all of a call's pixels are one row of a plane."""
    w = layer.w
    top = work.begins * w.stride_y - w.pad_top
    bottom = (work.ends - 1) * w.stride_y - w.pad_top + layer.reach
    counts = np.minimum(bottom, w.in_height) - np.maximum(top, 0)
    odd = np.where(top < 0, -top, 0) & 1
    add(loops, f"dwline.runs{group}", times * work.calls)
    _gathered(loops, group, times, counts, odd)
    pieces = _pieces(np.maximum(top, 0), np.minimum(bottom, w.in_height), w.in_rows)
    if w.ring:
        add(loops, f"dwline.ring{group}", times * len(pieces))
    widths = _pieces(work.begins, work.ends, w.out_rows)
    runs = times * group * len(widths)
    add(loops, "dwline.channels", times * group * work.calls)
    add(loops, "dwline.pieces", runs)
    if w.out_ring:
        add(loops, "dwline.out_ring", runs)
    pairs = times * group * int(((widths + 1) // 2).sum())
    add(loops, "dwline.odd", times * group * int((widths % 2).sum()))
    add(loops, f"dwany.pairs{layer.variant}", pairs)
    add(loops, f"dwany.lines{min(layer.words, 4)}", pairs)
    add(loops, "dwany.steps", pairs * layer.words)


def _pieces(begins: Integers, ends: Integers, held: int) -> Integers:
    """Lengths of stretches of rows that a ring of so many rows holds without a break."""
    found = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        edges = [begin, *range((begin // held + 1) * held, end, held), end]
        found += [after - before for before, after in pairwise(edges)]
    return np.array(found, np.int64)
