"""Resize of images in plain C: places and weights are tables made by the reference."""

from __future__ import annotations

from math import gcd

import msgspec
import numpy as np

from marram.compile.c.geometry import is_sequence, keeps_axes
from marram.compile.c.kernels.portable.operands import item_bytes
from marram.compile.c.place import ConstantArray, Place, Routine, Window
from marram.core.graph import Array
from marram.core.operators import Resize
from marram.model.reference.resizing import integer_line, nearest_places


class _Side(msgspec.Struct, frozen=True, kw_only=True):
    """Rows or columns: how many come in and go out, and the first and the last that each output needs, int64 (out,).

    ``table`` is what the C reads of them.
    """

    size_in: int
    size_out: int
    first: Array
    last: Array
    table: Array

    @property
    def window(self) -> Window:
        """The least one that holds what is needed: it moves by ``size_in / size_out``."""
        common = gcd(self.size_in, self.size_out)
        stride, rate = self.size_in // common, self.size_out // common
        outputs = np.arange(self.size_out)
        pad = int((outputs * stride - (self.first + 1) * rate).max()) + 1
        reach = self.last - (outputs * stride - pad) // rate
        return Window(kernel=int(reach.max()) + 1, stride=stride, pad=pad, rate=rate)


def resize(place: Place) -> Routine:
    """Nearest or bilinear, int8 or int16."""
    site = place.site
    op = site.op(Resize)
    site.need_same_quantisation()
    side, cost = (_nearest_side, 4.0) if op.method == "nearest" else (_bilinear_side, 40.0)
    batch, height, width, channels = site.input(0).shape
    sides = side(place, height, op.size[0]), side(place, width, op.size[1])
    down, across = sides[::-1] if is_sequence(site.input(0).shape, site.output.shape) else sides
    by_rows = batch == 1 and keeps_axes(site)
    rows = (place.in_rows[0], place.out_rows) if by_rows else (down.size_in, down.size_out)
    sizes = f"{down.size_in}, {across.size_in}, {channels}, {down.size_out}, {across.size_out}, {rows[0]}, {rows[1]}"
    kind = f"nearest(x0, y0, {item_bytes(place)}" if op.method == "nearest" else f"bilinear_{8 * item_bytes(place)}(x0, y0"
    call = f"marram_portable_resize_{kind}, {sizes}, row_begin, row_end, @down@, @across@);"
    return Routine(
        includes=(f"portable/resize_{op.method}.h",),
        body=call if batch == 1 else _by_sample(batch, down.size_out, call, place),
        constants=(_table("down", down), _table("across", across)),
        windows=(down.window,) if batch == 1 else None,
        columns=(across.window,) if batch == 1 else None,
        traversal="pixels" if batch == 1 else "whole",
        block=0,
        instructions=cost * site.output.size,
    )


def _by_sample(batch: int, rows: int, call: str, place: Place) -> str:
    steps = f"x0 += {place.site.input(0).size // batch}, y0 += {place.site.output.size // batch}"
    return f"for (int n = 0; n < {batch}; n++, {steps}) {{\nconst int row_begin = 0, row_end = {rows};\n{call}\n}}"


def _table(name: str, side: _Side) -> ConstantArray:
    return ConstantArray(name=name, c_type="int16_t", values=side.table.ravel(), role="table")


def _nearest_side(place: Place, size_in: int, size_out: int) -> _Side:
    op = place.site.op(Resize)
    places = nearest_places(size_in, size_out, align_corners=op.align_corners, half_pixel_centers=op.half_pixel_centers)
    return _Side(size_in=size_in, size_out=size_out, first=places, last=places, table=places)


def _bilinear_side(place: Place, size_in: int, size_out: int) -> _Side:
    lower, upper, weights = integer_line(place.site.op(Resize), size_in, size_out)
    if lower.max() >= size_in or upper.max() >= size_in:
        raise place.site.error("a rounded step leaves the image", "Resize in two steps of less.")
    table = np.stack([lower, upper, weights], axis=1).astype(np.int64)
    return _Side(size_in=size_in, size_out=size_out, first=np.minimum(lower, upper), last=np.maximum(lower, upper), table=table)
