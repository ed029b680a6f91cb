"""Maximum pooling with the DSP extension: four channels at a time."""

from __future__ import annotations

from marram.compile.c.geometry import geometry
from marram.compile.c.place import Place, Routine
from marram.core.operators import MaxPool2D
from marram.model.reference.arithmetic import activation_range


def max_pool2d(place: Place) -> Routine:
    """int8 maximum pooling of a multiple of four channels; padded places are not looked at."""
    site = place.site
    op = site.op(MaxPool2D)
    site.need_same_quantisation()
    if site.output.dtype != "int8" or site.output.shape[3] % 4:
        raise site.error("maxima of int8 of a multiple of four channels are served here")
    sizes = geometry(place, op, op.kernel)
    low, high = ((value & 0xFF) * 0x01010101 for value in activation_range(site, op.activation))
    return Routine(
        includes=("dsp/max_pool2d.h",),
        body=f"marram_dsp_max_pool2d({sizes.literal}, x0, y0, row_begin, row_end, {low}u, {high}u);",
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=(1.6 * op.kernel[0] * op.kernel[1] + 4.0) * site.output.size,
    )
