"""Convolution with packed weights."""

from __future__ import annotations

from marram.compile.c.geometry import geometry
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.portable.channels import channel_records
from marram.compile.c.portable.packed.packing import packed_weights
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Conv2D


def conv2d(place: Place) -> Routine:
    """int8 convolution, any geometry, any groups."""
    site = place.site
    op = site.op(Conv2D)
    weights = site.constant(1)
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    by = requantisation(site, op.activation, channel_axis=0)
    return Routine(
        includes=("portable/packed/conv2d.h",),
        body=f"marram_portable_packed_conv2d({sizes.literal}, x0, y0, row_begin, row_end, {op.groups}, {place.weight_bits}, "
        f"@weights@, @channels@, {site.zero_point(site.input(0))}, {by.zero_point}, {by.low}, {by.high});",
        constants=(packed_weights(place), ConstantArray(name="channels", c_type="int32_t", values=channel_records(by))),
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=10.0 * sizes.out_height * sizes.out_width * weights.size,
    )
