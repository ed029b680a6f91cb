"""Transposed convolution in plain C."""

from __future__ import annotations

from marram.compile.c.geometry import Geometry, geometry, is_sequence
from marram.compile.c.kernels.portable.blocks import interleaved
from marram.compile.c.kernels.portable.channels import channel_records
from marram.compile.c.kernels.portable.int16.finish import finish
from marram.compile.c.place import ConstantArray, Place, Routine, Window
from marram.compile.c.requantisation import requantisation
from marram.core.graph import Array
from marram.core.operators import TransposeConv2D

_COSTS = {1: 9.0, 2: 5.75, 4: 4.25}
"""About the instructions of a MAC when so many output channels are made together."""


def transpose_conv2d(place: Place) -> Routine:
    """int8 transposed convolution. Its bias is not folded: a pixel at the border is reached by fewer weights."""
    site = place.site
    op = site.op(TransposeConv2D)
    sizes, weights = _sizes(place), _weights(place)
    by = requantisation(site, op.activation, channel_axis=0, folded=False)
    lanes = next(count for count in (4, 2, 1) if sizes.out_channels % count == 0)
    layer = f"{{@weights@, @channels@, {lanes}, {site.zero_point(site.input(0))}, {by.zero_point}, {by.low}, {by.high}}}"
    return _routine(
        sizes,
        include="portable/transpose_conv2d.h",
        body=f"marram_portable_transpose_conv2d({sizes.literal}, ((marram_portable_transpose_layer){layer}), x0, y0, "
        "row_begin, row_end);",
        constants=(
            ConstantArray(name="weights", c_type="int8_t", values=interleaved(weights.reshape(len(weights), -1), lanes)),
            ConstantArray(name="channels", c_type="int32_t", values=channel_records(by)),
        ),
        instructions=_COSTS[lanes] * sizes.in_height * sizes.in_width * weights.size,
    )


def transpose_conv2d_16(place: Place) -> Routine:
    """The same of int16, output by output."""
    sizes, weights = _sizes(place), _weights(place)
    done = finish(place, place.site.op(TransposeConv2D).activation, channel_axis=0)
    return _routine(
        sizes,
        include="portable/int16/transpose_conv2d.h",
        body=f"marram_portable_int16_transpose_conv2d({sizes.literal}, x0, y0, row_begin, row_end, {done.arguments}, "
        f"{done.limits});",
        constants=(ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()), *done.arrays[1:]),
        instructions=12.0 * sizes.in_height * sizes.in_width * weights.size,
    )


def _routine(sizes: Geometry, *, include: str, body: str, constants: tuple[ConstantArray, ...], instructions: float) -> Routine:
    return Routine(
        includes=(include,),
        body=body,
        constants=constants,
        windows=(_window(sizes.kernel_height, sizes.stride_y, sizes.pad_top),),
        columns=(_window(sizes.kernel_width, sizes.stride_x, sizes.pad_left),),
        traversal="pixels",
        block=0,
        instructions=instructions,
    )


def _window(kernel: int, stride: int, pad: int) -> Window:
    """What output row y is reached from: the input rows (y + pad - k) / stride, for k of the kernel."""
    return Window(kernel=-(-kernel // stride), pad=kernel - stride - pad, rate=stride)


def _sizes(place: Place) -> Geometry:
    return geometry(place, place.site.op(TransposeConv2D), place.site.constant(1).shape[1:3])


def _weights(place: Place) -> Array:
    """int8 (O, KH, KW, C); of a sequence, whose pixels are taken as rows, (O, KW, KH, C)."""
    weights = place.site.constant(1)
    return weights.transpose(0, 2, 1, 3) if is_sequence(place.site.input(0).shape, place.site.output.shape) else weights
