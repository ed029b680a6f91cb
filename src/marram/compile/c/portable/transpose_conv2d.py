"""Transposed convolution in plain C."""

from __future__ import annotations

from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.portable.channels import channel_records
from marram.compile.c.requantisation import requantisation
from marram.core.operators import TransposeConv2D


def transpose_conv2d(place: Place) -> Routine:
    """int8 transposed convolution. Its bias is not folded: a pixel at the border is reached by fewer weights."""
    site = place.site
    op = site.op(TransposeConv2D)
    weights = site.constant(1)
    outputs, kernel_height, kernel_width, depth = weights.shape
    batch, height, width, _ = site.input(0).shape
    _, out_height, out_width, _ = site.output.shape
    by = requantisation(site, op.activation, channel_axis=0, folded=False)
    sizes = f"{batch}, {height}, {width}, {depth}, {out_height}, {out_width}, {outputs}"
    window = f"{kernel_height}, {kernel_width}, {op.stride[0]}, {op.stride[1]}, {op.padding[0]}, {op.padding[2]}"
    return Routine(
        includes=("portable/transpose_conv2d.h",),
        body=f"marram_portable_transpose_conv2d(x0, y0, {sizes}, {window}, @weights@, @channels@, "
        f"{site.zero_point(site.input(0))}, {by.zero_point}, {by.low}, {by.high});",
        constants=(
            ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()),
            ConstantArray(name="channels", c_type="int32_t", values=channel_records(by)),
        ),
        instructions=8.0 * height * width * weights.size,
    )
