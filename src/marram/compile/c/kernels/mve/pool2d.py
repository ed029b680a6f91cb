"""Average and maximum pooling with Helium."""

from __future__ import annotations

from marram.compile.c.geometry import geometry
from marram.compile.c.kernels.mve.packing import window_literal
from marram.compile.c.place import Place, Routine
from marram.core.operators import AveragePool2D, MaxPool2D
from marram.model.reference.arithmetic import activation_range

_MOST_PLACES = 4096
"""So many places, of 128 each and half of them to round: magnitudes times places stay below 2**32."""


def average_pool2d(place: Place) -> Routine:
    """int8 average pooling; padded places are not counted."""
    op = place.site.op(AveragePool2D)
    if op.kernel[0] * op.kernel[1] > _MOST_PLACES:
        raise place.site.error(f"windows of up to {_MOST_PLACES} places are served here")
    return _pool(place, op, "average", 4)


def max_pool2d(place: Place) -> Routine:
    """int8 maximum pooling; padded places are not looked at."""
    return _pool(place, place.site.op(MaxPool2D), "max", 16)


def _pool(place: Place, op: AveragePool2D | MaxPool2D, name: str, lanes: int) -> Routine:
    site = place.site
    if site.input(0).dtype != "int8":
        raise site.error("int8 is served here")
    site.need_same_quantisation()
    sizes = geometry(place, op, op.kernel)
    low, high = activation_range(site, op.activation)
    vectors = sizes.out_height * sizes.out_width * -(-sizes.in_channels // lanes)
    return Routine(
        includes=("mve/pool2d.h",),
        body=f"static const marram_window window = {window_literal(sizes)};\n"
        f"marram_mve_{name}_pool2d(&window, x0, y0, row_begin, row_end, {low}, {high});",
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=vectors * (30.0 + op.kernel[0] * (15.0 + 5.0 * op.kernel[1])),
    )
