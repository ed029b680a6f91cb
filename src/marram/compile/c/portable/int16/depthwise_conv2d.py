"""Depthwise convolution of int16 activations."""

from __future__ import annotations

from marram.compile.c.geometry import geometry
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.portable.int16.finish import finish
from marram.core.operators import DepthwiseConv2D


def depthwise_conv2d(place: Place) -> Routine:
    """Any geometry, any multiplicity."""
    op = place.site.op(DepthwiseConv2D)
    weights = place.site.constant(1)
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    done = finish(place, op.activation, channel_axis=3)
    return Routine(
        includes=("portable/int16/depthwise_conv2d.h",),
        body=f"marram_portable_int16_depthwise_conv2d({sizes.literal}, x0, y0, row_begin, row_end, @weights@, @bias@, "
        f"@factors@, {done.limits});",
        constants=(ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()), *done.arrays),
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=14.0 * sizes.out_height * sizes.out_width * weights.size,
    )
