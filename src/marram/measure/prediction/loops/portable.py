"""Loops of ``firmware/kernels/portable`` that all cores have in common: moves, products, reductions, pools."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

import numpy as np

from marram.measure.prediction.c_text import arguments, fields, number, split, trips
from marram.measure.prediction.loops.counting import Counter, Integers, Loops, Window, Work, add, ceiling, copied, filled
from marram.measure.prediction.loops.dsp import stretches

_ROW_TEST = re.compile(r"row >= (\d+) && row < (\d+)")
_STRIDE = re.compile(r"i\d+(?: \* (\d+))?\);")
_NEAR = 255
StatementCounter = Callable[[Loops, list[str], float], None]
"""Bytes that a load can step further by itself."""
_KERNEL = re.compile(r"(marram_portable_\w+)\(")


def statements(work: Work) -> Iterator[tuple[str, float]]:
    """The lines of a routine made of loops around kernels, each with how often it runs in all calls."""
    times = [float(work.calls)]
    rows = work.each_row() if "row_begin" in work.text else np.zeros(0, np.int64)
    for line in map(str.strip, work.text.splitlines()):
        test = _ROW_TEST.search(line)
        if line == "}":
            times.pop()
        elif test:
            first, past = int(test[1]), int(test[2])
            inside = int(((rows >= first) & (rows < past)).sum())
            times.append(times[-1] * inside / max(len(rows), 1))
        elif line.startswith("for (int row = row_begin"):
            times.append(times[-1] * len(rows) / work.calls)
        elif line.startswith("for ("):
            times.append(times[-1] * math.prod(trips(line)))
        elif line.endswith("{"):
            times.append(times[-1])
        else:
            yield line, times[-1]


def _moved(work: Work) -> Loops:
    """Copies of runs, fillings, within loops; products and sums of stretched operands alike."""
    loops: Loops = {}
    add(loops, "moved.calls", work.calls)
    for line, times in statements(work):
        found = _KERNEL.search(line)
        if found:
            _STATEMENTS[found[1]](loops, split(line[found.end() :]), times)
    if "marram_row(" in work.text:
        add(loops, "moved.rows", work.rows)
    return loops


def _move(loops: Loops, values: list[str], times: float) -> None:
    count, size = number(values[4]), number(values[5])
    add(loops, "move.calls", times)
    add(loops, "move.runs", times * count)
    copied(loops, times * count, size)


def _fill(loops: Loops, values: list[str], times: float) -> None:
    filled(loops, times, number(values[1]))


def _fill_words(loops: Loops, values: list[str], times: float) -> None:
    add(loops, "fill16.elements", times * number(values[1]))


def _added(name: str) -> StatementCounter:
    def count(loops: Loops, values: list[str], times: float) -> None:
        size = number(values[5])
        still = "_still" if "0" in (values[1], values[3]) else ""
        add(loops, f"{name}.stretches", times)
        add(loops, f"{name}.elements{still}", times * size)

    return count


def _multiplied(loops: Loops, values: list[str], times: float) -> None:
    """Where no factor is negative, the compiler knows that no product is."""
    size = number(values[5])
    kind = "_still" if "0" in (values[1], values[3]) else ""
    kind += "_positive" if values[6] == values[7] == "-128" else ""
    kind += "_floored" if values[8] == "-128" else ""
    add(loops, "mul_steps.stretches", times)
    add(loops, f"mul_steps.elements{kind}", times * size)


def _matmul(loops: Loops, values: list[str], times: float) -> None:
    rows, depth, columns = (number(value) for value in values[7:10])
    outputs = times * rows * columns
    kind = _spaced(number(values[2])) + _spaced(number(values[4]))
    add(loops, "matmul.calls", times)
    add(loops, "matmul.rows", times * rows)
    add(loops, "matmul.outputs", outputs)
    add(loops, f"matmul.macs{kind}", outputs * depth)


_STATEMENTS: dict[str, StatementCounter] = {
    "marram_portable_move": _move,
    "marram_portable_fill_8": _fill,
    "marram_portable_fill_16": _fill_words,
    "marram_portable_add_steps_8": _added("add_steps"),
    "marram_portable_add_steps_16": _added("add_steps16"),
    "marram_portable_mul": _multiplied,
    "marram_portable_matmul": _matmul,
}


def _reduced(work: Work) -> Loops:
    """Sums over some axes for each element of the others."""
    before, _, after = work.text.partition("int32_t sum")
    outer, inner = trips(before), trips(after)
    outputs = work.calls * math.prod(outer)
    _, shift, *_ = arguments(work.text, "marram_portable_rescale")[1:]
    loops: Loops = {}
    add(loops, "reduced.calls", work.calls)
    add(loops, f"reduced.outputs{'' if number(shift) < 0 else '_whole'}", outputs)
    add(loops, "reduced.lines", outputs * math.prod(inner[:-1]))
    add(loops, f"reduced.elements{_stride(after)}", outputs * math.prod(inner))
    return loops


def _stride(text: str) -> str:
    """How far apart the summed elements of the innermost loop stand: next to each other, a shift, or more."""
    found = _STRIDE.search(text)
    return _spaced(int(found[1] or 1) if found else 1)


def _spaced(step: int) -> str:
    return "_next" if step == 1 else "_shifted" if step in {2, 4, 8} else "_far" if step > _NEAR else ""


def _softmax(work: Work) -> Loops:
    rows, depth = (number(value) for value in arguments(work.text, "marram_portable_softmax")[2:4])
    loops: Loops = {}
    add(loops, "softmax.calls", work.calls)
    add(loops, "softmax.rows", work.calls * rows)
    add(loops, "softmax.elements", work.calls * rows * depth)
    return loops


def _layer_norm(work: Work) -> Loops:
    rows, channels = (number(value) for value in arguments(work.text, "marram_portable_layer_norm")[2:4])
    loops: Loops = {}
    add(loops, "layer_norm.calls", work.calls)
    add(loops, "layer_norm.rows", work.calls * rows)
    add(loops, "layer_norm.elements", work.calls * rows * channels)
    return loops


def _pooled(name: str, function: str) -> Counter:
    def count(work: Work) -> Loops:
        w = Window(fields(arguments(work.text, function)[0]))
        rows, columns = int(w.rows_inside(work.each_row()).sum()), int(w.columns_inside(w.all_columns()).sum())
        loops: Loops = {}
        add(loops, f"{name}.calls", work.calls)
        add(loops, f"{name}.rows", work.rows)
        add(loops, f"{name}.windows", work.rows * w.out_width)
        add(loops, f"{name}.outputs{w.clipped}", work.rows * w.out_width * w.in_channels)
        add(loops, f"{name}.lines{w.clipped}", rows * w.out_width * w.in_channels)
        add(loops, f"{name}.taps{w.clipped}", rows * columns * w.in_channels)
        if w.ring:
            add(loops, f"{name}.ring", rows * w.out_width * w.in_channels)
        return loops

    return count


def _transposed(work: Work) -> Loops:
    """Output by output: of the kernel's places those that a stride apart meet an input."""
    values = arguments(work.text, "marram_portable_transpose_conv2d")
    w = Window(fields(values[0]))
    lanes = number(split(values[1].partition("{")[2])[2])
    rows = _met(work.each_row() + w.pad_top, w.kernel_height, w.stride_y, w.in_height)
    columns = _met(w.all_columns() + w.pad_left, w.kernel_width, w.stride_x, w.in_width)
    groups = w.out_channels // lanes
    loops: Loops = {}
    down, across = _way(w.kernel_height, w.stride_y), _way(w.kernel_width, w.stride_x)
    add(loops, "transposed.calls", work.calls)
    add(loops, "transposed.rows", work.rows)
    add(loops, "transposed.pixels", work.rows * w.out_width)
    add(loops, f"transposed.sums{lanes}", work.rows * w.out_width * groups)
    add(loops, "transposed.outputs", work.rows * w.out_width * w.out_channels)
    lines = work.rows * w.out_width * groups * ceiling(w.kernel_height, w.stride_y)
    add(loops, f"transposed.lines{down}", lines)
    add(loops, f"transposed.places{across}", int(rows.sum()) * w.out_width * groups * ceiling(w.kernel_width, w.stride_x))
    taps = int(rows.sum()) * int(columns.sum()) * groups
    add(loops, f"transposed.taps{across}", taps)
    add(loops, f"transposed.inputs{lanes}", taps * w.in_channels)
    if w.ring:
        add(loops, "transposed.ring", lines)
    return loops


def _way(kernel: int, stride: int) -> str:
    """How many turns a loop over a kernel's places takes: one, as many as there are places, or those a stride apart."""
    return "_single" if kernel <= stride else "_dense" if stride == 1 else ""


def _met(places: Integers, kernel: int, stride: int, size: int) -> Integers:
    at = places[:, None] - np.arange(kernel)[None, :]
    found: Integers = ((at >= 0) & (at % stride == 0) & (at // stride < size)).sum(axis=1)
    return found


def _elementwise(name: str, function: str) -> Counter:
    def count(work: Work) -> Loops:
        values = arguments(work.text, function)
        sizes = fields(values[0])
        parts, _, _, ring = stretches(work, sizes)
        loops: Loops = {}
        add(loops, f"{name}.calls", work.calls)
        add(loops, f"{name}.stretches", parts)
        add(loops, f"{name}.elements", work.rows * sizes["width"])
        add(loops, f"{name}.ring", ring)
        return loops

    return count


def _resized(work: Work) -> Loops:
    values = arguments(work.text, "marram_portable_resize_nearest")
    pixel, width = number(values[2]) * number(values[5]), number(values[7])
    rows = work.rows if "row_begin" in values[10] else work.calls * number(values[6])
    loops: Loops = {}
    add(loops, "resized.calls", work.calls)
    add(loops, "resized.rows", rows)
    add(loops, "resized.pixels", rows * width)
    copied(loops, rows * width, pixel)
    return loops


KERNELS: dict[str, Counter] = {
    **dict.fromkeys(_STATEMENTS, _moved),
    "marram_portable_rescale": _reduced,
    "marram_portable_softmax": _softmax,
    "marram_portable_layer_norm": _layer_norm,
    "marram_portable_average_pool2d_8": _pooled("portable_average", "marram_portable_average_pool2d_8"),
    "marram_portable_max_pool2d_8": _pooled("portable_maximum", "marram_portable_max_pool2d_8"),
    "marram_portable_transpose_conv2d": _transposed,
    "marram_portable_table": _elementwise("portable_table", "marram_portable_table"),
    "marram_portable_add": _elementwise("portable_add", "marram_portable_add"),
    "marram_portable_resize_nearest": _resized,
}
