"""Constant padding of any axes."""

from __future__ import annotations

from marram.compile.c.geometry import is_sequence, rows_of
from marram.compile.c.kernels.portable.movement import by_rows
from marram.compile.c.kernels.portable.operands import item_bytes
from marram.compile.c.kernels.portable.strided import MOVE, axes_of, indented, move, steps_of
from marram.compile.c.place import POINTWISE, Place, Routine, Window
from marram.core.operators import Pad
from marram.model.reference.arithmetic import integer_range, quantised

_INCLUDES = (MOVE, "portable/fill.h", "common/window.h")


def pad(place: Place) -> Routine:
    """Padding with the value, which is clamped to the output's range; images row by row."""
    site = place.site
    op = site.op(Pad)
    site.need_same_quantisation()
    source, target = site.input(0).shape, site.output.shape
    low, high = integer_range(site.output)
    value = min(max(quantised(op.value, site.scale(site.output), site.zero_point(site.output)), low), high)
    fill = f"marram_portable_fill_{8 * item_bytes(place)}"
    if len(source) == 4 and source[0] == target[0] == 1 and (source[1] == 1) == (target[1] == 1):
        return _image(place, op, fill, value)
    first = sum(before * step for (before, _), step in zip(op.paddings, steps_of(target), strict=True))
    axes = axes_of(source, steps_of(source), steps_of(target))
    body = f"{fill}(y0, {site.output.size}, {value});\n" + move(axes, "x0", f"y0 + {first}", item_bytes(place))
    return Routine(includes=_INCLUDES, body=body, instructions=5.0 * site.output.size)


def _image(place: Place, op: Pad, fill: str, value: int) -> Routine:
    source, target = place.site.input(0).shape, place.site.output.shape
    height, in_width, in_channels = rows_of(source)
    _, width, channels = rows_of(target)
    down, across = op.paddings[1][0], op.paddings[2][0]
    if is_sequence(source, target):
        down, across = across, 0
    before = across * channels + op.paddings[3][0]
    axes = axes_of((in_width, in_channels), (in_channels, 1), (channels, 1))
    row_bytes = f"marram_row(row - {down}, {place.in_rows[0]}, {height}, {in_width * in_channels})"
    copy = move(axes, f"x0 + {row_bytes}", f"out + {before}" if before else "out", item_bytes(place))
    inside = f"if (row >= {down} && row < {down + height}) {{\n{indented(copy)}\n}}"
    return Routine(
        includes=_INCLUDES,
        body=by_rows(place, [f"{fill}(out, {width * channels}, {value});", inside]),
        windows=(Window(pad=down),),
        columns=(Window(pad=across),) if across else (POINTWISE,),
        instructions=5.0 * place.site.output.size,
    )
