"""Maximum pooling in plain C."""

from __future__ import annotations

from marram.compile.c.geometry import geometry
from marram.compile.c.place import Place, Routine
from marram.compile.c.portable.operands import item_bytes
from marram.core.operators import MaxPool2D
from marram.model.reference.arithmetic import activation_range


def max_pool2d(place: Place) -> Routine:
    """Maximum pooling of int8 or int16; padded places are not looked at."""
    site = place.site
    op = site.op(MaxPool2D)
    site.need_same_quantisation()
    sizes = geometry(place, op, op.kernel)
    low, high = activation_range(site, op.activation)
    return Routine(
        includes=("portable/max_pool2d.h",),
        body=f"marram_portable_max_pool2d_{8 * item_bytes(place)}({sizes.literal}, x0, y0, row_begin, row_end, {low}, {high});",
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=5.0 * site.output.size * op.kernel[0] * op.kernel[1],
    )
