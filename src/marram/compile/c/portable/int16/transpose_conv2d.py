"""Transposed convolution of int16 activations."""

from __future__ import annotations

from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.portable.int16.finish import finish
from marram.core.operators import TransposeConv2D


def transpose_conv2d(place: Place) -> Routine:
    """Any geometry."""
    site = place.site
    op = site.op(TransposeConv2D)
    weights = site.constant(1)
    outputs, kernel_height, kernel_width, depth = weights.shape
    batch, height, width, _ = site.input(0).shape
    _, out_height, out_width, _ = site.output.shape
    done = finish(place, op.activation, channel_axis=0)
    sizes = f"{batch}, {height}, {width}, {depth}, {out_height}, {out_width}, {outputs}"
    window = f"{kernel_height}, {kernel_width}, {op.stride[0]}, {op.stride[1]}, {op.padding[0]}, {op.padding[2]}"
    return Routine(
        includes=("portable/int16/transpose_conv2d.h",),
        body=f"marram_portable_int16_transpose_conv2d(x0, y0, {sizes}, {window}, @weights@, @bias@, @factors@, {done.limits});",
        constants=(ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()), *done.arrays),
        instructions=12.0 * height * width * weights.size,
    )
