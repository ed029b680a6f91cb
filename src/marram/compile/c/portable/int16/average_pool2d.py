"""Average pooling of int16 activations."""

from __future__ import annotations

import math

from marram.compile.c.geometry import geometry
from marram.compile.c.place import Place, Routine
from marram.core.operators import AveragePool2D
from marram.model.reference.arithmetic import activation_range


def average_pool2d(place: Place) -> Routine:
    """Padded places are not counted."""
    site = place.site
    op = site.op(AveragePool2D)
    site.need_same_quantisation()
    if math.prod(op.kernel) >= 1 << 15:
        raise site.error(f"sums over windows of {op.kernel} can leave int32")
    sizes = geometry(place, op, op.kernel)
    low, high = activation_range(site, op.activation)
    return Routine(
        includes=("portable/int16/average_pool2d.h",),
        body=f"marram_portable_int16_average_pool2d({sizes.literal}, x0, y0, row_begin, row_end, {low}, {high});",
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=5.0 * site.output.size * math.prod(op.kernel),
    )
