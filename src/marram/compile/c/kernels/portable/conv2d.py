"""Convolution in plain C."""

from __future__ import annotations

import numpy as np

from marram.compile.c.geometry import geometry
from marram.compile.c.kernels.portable.blocks import BlockKernel, block_convolution
from marram.compile.c.kernels.portable.channels import channel_records
from marram.compile.c.kernels.portable.kinds import output_by_output
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import Requantisation, requantisation
from marram.core.operators import Conv2D

_KERNEL = BlockKernel(
    include="portable/conv2d.h", function="marram_portable_conv2d", pixels=2, channels=4, cost=(2.6, 25.0), clamps=True
)


def conv2d(place: Place) -> Routine:
    """int8 convolution, any geometry, any groups."""
    site = place.site
    op = site.op(Conv2D)
    by = requantisation(site, op.activation, channel_axis=0)
    if op.groups != 1:
        return _grouped(place, op, by)
    records = np.zeros((-(-len(by.bias) // _KERNEL.channels) * _KERNEL.channels, 3), np.int64)
    records[: len(by.bias)] = channel_records(by).reshape(-1, 3)
    return block_convolution(place, by, records.ravel(), _KERNEL)


def _grouped(place: Place, op: Conv2D, by: Requantisation) -> Routine:
    site = place.site
    weights = site.constant(1)
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    return output_by_output(
        sizes,
        include="portable/conv2d.h",
        body=f"marram_portable_grouped_conv2d({sizes.literal}, x0, y0, row_begin, row_end, {op.groups}, @weights@, @channels@, "
        f"{site.zero_point(site.input(0))}, {by.zero_point}, {by.low}, {by.high});",
        constants=(
            ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()),
            ConstantArray(name="channels", c_type="int32_t", values=channel_records(by)),
        ),
        instructions=8.0 * sizes.out_height * sizes.out_width * weights.size,
    )
