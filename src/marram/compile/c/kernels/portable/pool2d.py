"""Pooling in plain C."""

from __future__ import annotations

import math

from marram.compile.c.geometry import geometry
from marram.compile.c.kernels.portable.operands import item_bytes
from marram.compile.c.place import Place, Routine
from marram.core.operators import AveragePool2D, MaxPool2D
from marram.model.reference.arithmetic import activation_range


def average_pool2d(place: Place) -> Routine:
    """Average pooling of int8 or int16; padded places are not counted."""
    op = place.site.op(AveragePool2D)
    if item_bytes(place) == 2 and math.prod(op.kernel) >= 1 << 15:
        raise place.site.error(f"sums over windows of {op.kernel} can leave int32")
    return _pool2d(place, op, "average_pool2d")


def max_pool2d(place: Place) -> Routine:
    """Maximum pooling of int8 or int16; padded places are not looked at."""
    return _pool2d(place, place.site.op(MaxPool2D), "max_pool2d")


def _pool2d(place: Place, op: AveragePool2D | MaxPool2D, name: str) -> Routine:
    site = place.site
    site.need_same_quantisation()
    sizes = geometry(place, op, op.kernel)
    low, high = activation_range(site, op.activation)
    return Routine(
        includes=(f"portable/{name}.h",),
        body=f"marram_portable_{name}_{8 * item_bytes(place)}({sizes.literal}, x0, y0, row_begin, row_end, {low}, {high});",
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=5.0 * site.output.size * math.prod(op.kernel),
    )
