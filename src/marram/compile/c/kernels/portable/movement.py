"""Operators that move values: concatenation, split, slice, transpose, reshape where it cannot be a view."""

from __future__ import annotations

import math
from collections.abc import Sequence

from marram.compile.c.geometry import rows_of
from marram.compile.c.kernels.portable.operands import item_bytes, operands
from marram.compile.c.kernels.portable.strided import MOVE, axes_of, indented, move, steps_of
from marram.compile.c.place import POINTWISE, Place, Routine
from marram.core.operators import Concat, Slice, Split, Transpose


def _routine(place: Place, body: str) -> Routine:
    return Routine(
        includes=(MOVE,),
        body=body,
        constants=operands(place).constants,
        instructions=4.0 * sum(tensor.size for tensor in place.site.outputs),
    )


def reshape(place: Place) -> Routine:
    """A copy."""
    size = place.site.output.size
    return _routine(place, move(axes_of((size,), (1,), (1,)), "x0", "y0", item_bytes(place)))


def transpose(place: Place) -> Routine:
    """Permutation of the axes, of any rank."""
    permutation = place.site.op(Transpose).permutation
    steps = steps_of(place.site.input(0).shape)
    shape = place.site.output.shape
    axes = axes_of(shape, [steps[axis] for axis in permutation], steps_of(shape))
    return _routine(place, move(axes, "x0", "y0", item_bytes(place)))


def strided_slice(place: Place) -> Routine:
    """A slice with any strides."""
    op = place.site.op(Slice)
    if _is_of_columns(place, op):
        return _columns(place, first=op.begin[2], at=0)
    steps = steps_of(place.site.input(0).shape)
    shape = place.site.output.shape
    first = sum(begin * step for begin, step in zip(op.begin, steps, strict=True))
    axes = axes_of(shape, [step * stride for step, stride in zip(steps, op.strides, strict=True)], steps_of(shape))
    return _routine(place, move(axes, _at("x0", first), "y0", item_bytes(place)))


def _is_of_columns(place: Place, op: Slice) -> bool:
    """Whether a slice has all of an image but some columns."""
    source, shape = place.site.input(0).shape, place.site.output.shape
    image = len(shape) == 4 and shape[0] == 1 and shape[1] > 1
    return image and all(step == 1 for step in op.strides) and source[:2] == shape[:2] and source[3] == shape[3]


def _columns(place: Place, *, first: int, at: int) -> Routine:
    """Columns of an image from ``first`` on become those of another from ``at`` on, as many as the narrower one has."""
    rows, in_width, channels = rows_of(place.site.input(0).shape)
    width = min(in_width, rows_of(place.site.output.shape)[1])
    source = _at(f"x0 + marram_row(row, {place.in_rows[0]}, {rows}, {in_width * channels})", first * channels)
    copy = move(axes_of((width * channels,), (1,), (1,)), source, _at("out", at * channels), item_bytes(place))
    return Routine(
        includes=(MOVE, "common/window.h"),
        body=by_rows(place, [copy]),
        windows=(POINTWISE,),
        instructions=4.0 * rows * width * channels,
    )


def split(place: Place) -> Routine:
    """The parts one after the other."""
    op = place.site.op(Split)
    shape = place.site.input(0).shape
    outer, inner = math.prod(shape[: op.axis]), math.prod(shape[op.axis + 1 :])
    whole = shape[op.axis] * inner
    parts, begin = [], 0
    for index, size in enumerate(op.sizes):
        run = size * inner
        axes = axes_of((outer, run), (whole, 1), (run, 1))
        parts.append(move(axes, _at("x0", begin), f"y{index}", item_bytes(place)))
        begin += run
    return _routine(place, "\n".join(parts))


def concat(place: Place) -> Routine:
    """Parts side by side; images that are joined along their channels by rows."""
    if place.at_column is not None:
        return _columns(place, first=0, at=place.at_column)
    shape = place.site.output.shape
    axis = place.site.op(Concat).axis
    if len(shape) == 4 and shape[0] == 1 and axis == 3 and all(value is None for value in place.site.constants):
        return _concat_channels(place)
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    whole = shape[axis] * inner
    parts, begin = [], 0
    for name, run in zip(operands(place).names, _runs(place, axis, inner), strict=True):
        axes = axes_of((outer, run), (run, 1), (whole, 1))
        parts.append(move(axes, name, _at("y0", begin), item_bytes(place)))
        begin += run
    return _routine(place, "\n".join(parts))


def _runs(place: Place, axis: int, inner: int) -> list[int]:
    return [tensor.shape[axis] * inner for tensor in place.site.inputs if tensor is not None]


def _concat_channels(place: Place) -> Routine:
    rows, width, channels = rows_of(place.site.output.shape)
    parts, begin = [], 0
    for index, run in enumerate(_runs(place, 3, 1)):
        source = f"x{index} + marram_row(row, {place.in_rows[index]}, {rows}, {width * run})"
        axes = axes_of((width, run), (run, 1), (channels, 1))
        parts.append(move(axes, source, _at("out", begin), item_bytes(place)))
        begin += run
    return Routine(
        includes=(MOVE, "common/window.h"),
        body=by_rows(place, parts),
        windows=(POINTWISE,) * len(place.in_rows),
        columns=(POINTWISE,) * len(place.in_rows),
        instructions=4.0 * place.site.output.size,
    )


def by_rows(place: Place, statements: Sequence[str]) -> str:
    """C statements for every ``row`` asked for; ``out`` is its place in the output."""
    rows, width, channels = rows_of(place.site.output.shape)
    at = f"y0 + marram_row(row, {place.out_rows}, {rows}, {width * channels})"
    lines = [f"{place.site.output.dtype}_t *out = {at};", *statements]
    body = indented("\n".join(lines))
    return f"for (int row = row_begin; row < row_end; row++) {{\n{body}\n}}"


def _at(name: str, offset: int) -> str:
    return f"{name} + {offset}" if offset else name
