"""Depthwise convolution in plain C."""

from __future__ import annotations

import numpy as np

from marram.compile.c.geometry import geometry
from marram.compile.c.kernels.portable.channels import channel_records
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import DepthwiseConv2D


def depthwise_conv2d(place: Place) -> Routine:
    """int8 depthwise convolution, any geometry, any multiplicity."""
    site = place.site
    op = site.op(DepthwiseConv2D)
    weights = site.constant(1)
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    by = requantisation(site, op.activation, channel_axis=3)
    fields = f"{{{sizes.fields}, @padding@}}, @weights@, @channels@, {by.zero_point}, {by.low}, {by.high}"
    pixels = sizes.out_height * sizes.out_width
    taps = sizes.kernel_height * sizes.kernel_width
    return Routine(
        includes=("portable/depthwise_conv2d.h",),
        body=f"static const marram_portable_depthwise_layer layer = {{{fields}}};\n"
        "marram_portable_depthwise_conv2d(&layer, x0, y0, row_begin, row_end, scratch);",
        constants=(
            ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()),
            ConstantArray(name="channels", c_type="int32_t", values=channel_records(by)),
            ConstantArray(
                name="padding", c_type="int8_t", values=np.full(sizes.in_channels, site.zero_point(site.input(0)), np.int8)
            ),
        ),
        scratch_bytes=8 * taps,
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=pixels * (3.5 * weights.size + 25.0 * sizes.out_channels + 12.0 * taps),
    )
