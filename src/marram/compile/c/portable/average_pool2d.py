"""Average pooling in plain C."""

from __future__ import annotations

from marram.compile.c.geometry import geometry
from marram.compile.c.place import Place, Routine
from marram.core.operators import AveragePool2D
from marram.model.reference.arithmetic import activation_range


def average_pool2d(place: Place) -> Routine:
    """int8 average pooling; padded places are not counted."""
    site = place.site
    op = site.op(AveragePool2D)
    site.need_same_quantisation()
    sizes = geometry(place, op, op.kernel)
    low, high = activation_range(site, op.activation)
    return Routine(
        includes=("portable/average_pool2d.h",),
        body=f"marram_portable_average_pool2d({sizes.literal}, x0, y0, row_begin, row_end, {low}, {high});",
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=5.0 * site.output.size * op.kernel[0] * op.kernel[1],
    )
