"""Resize of images in plain C: places and weights are tables made by the reference."""

from __future__ import annotations

import numpy as np

from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.portable.operands import item_bytes
from marram.core.graph import Array
from marram.core.operators import Resize
from marram.model.reference.resizing import integer_line, nearest_places


def resize(place: Place) -> Routine:
    """Nearest or bilinear, int8 or int16."""
    place.site.need_same_quantisation()
    return _nearest(place) if place.site.op(Resize).method == "nearest" else _bilinear(place)


def _sizes(place: Place) -> str:
    batch, height, width, channels = place.site.input(0).shape
    _, out_height, out_width, _ = place.site.output.shape
    return f"{batch}, {height}, {width}, {channels}, {out_height}, {out_width}"


def _table(name: str, values: Array) -> ConstantArray:
    return ConstantArray(name=name, c_type="int16_t", values=np.asarray(values, np.int64).ravel(), role="table")


def _nearest(place: Place) -> Routine:
    op = place.site.op(Resize)
    _, height, width, _ = place.site.input(0).shape
    flags = {"align_corners": op.align_corners, "half_pixel_centers": op.half_pixel_centers}
    return Routine(
        includes=("portable/resize_nearest.h",),
        body=f"marram_portable_resize_nearest(x0, y0, {_sizes(place)}, {item_bytes(place)}, @down@, @across@);",
        constants=(
            _table("down", nearest_places(height, op.size[0], **flags)),
            _table("across", nearest_places(width, op.size[1], **flags)),
        ),
        instructions=4.0 * place.site.output.size,
    )


def _bilinear(place: Place) -> Routine:
    site = place.site
    op = site.op(Resize)
    _, height, width, _ = site.input(0).shape
    down, across = integer_line(op, height, op.size[0]), integer_line(op, width, op.size[1])
    for (lower, upper, _), size in ((down, height), (across, width)):
        if lower.max() >= size or upper.max() >= size:
            raise site.error("a rounded step leaves the image", "Resize in two steps of less.")
    return Routine(
        includes=("portable/resize_bilinear.h",),
        body=f"marram_portable_resize_bilinear_{8 * item_bytes(place)}(x0, y0, {_sizes(place)}, @down@, @across@);",
        constants=(_table("down", np.stack(down, axis=1)), _table("across", np.stack(across, axis=1))),
        instructions=40.0 * site.output.size,
    )
