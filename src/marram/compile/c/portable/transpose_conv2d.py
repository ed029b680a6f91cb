"""Transposed convolution in plain C."""

from __future__ import annotations

from marram.compile.c.geometry import geometry, is_sequence
from marram.compile.c.place import ConstantArray, Place, Routine, Window
from marram.compile.c.portable.channels import channel_records
from marram.compile.c.portable.int16.finish import finish
from marram.compile.c.requantisation import requantisation
from marram.core.graph import Array
from marram.core.operators import TransposeConv2D


def transpose_conv2d(place: Place) -> Routine:
    """int8 transposed convolution. Its bias is not folded: a pixel at the border is reached by fewer weights."""
    site = place.site
    by = requantisation(site, site.op(TransposeConv2D).activation, channel_axis=0, folded=False)
    records = ConstantArray(name="channels", c_type="int32_t", values=channel_records(by))
    arguments = f"@channels@, {site.zero_point(site.input(0))}, {by.zero_point}, {by.low}, {by.high}"
    return _routine(place, "", arguments, (records,), 8.0)


def transpose_conv2d_16(place: Place) -> Routine:
    """The same of int16."""
    done = finish(place, place.site.op(TransposeConv2D).activation, channel_axis=0)
    return _routine(place, "int16", f"@bias@, @factors@, {done.limits}", done.arrays[1:], 12.0)


def _routine(place: Place, kind: str, arguments: str, arrays: tuple[ConstantArray, ...], cost: float) -> Routine:
    """Output pixel by output pixel; ``cost`` is about the instructions of a MAC."""
    op, weights = place.site.op(TransposeConv2D), _weights(place)
    sizes = geometry(place, op, place.site.constant(1).shape[1:3])
    name, folder = (f"{kind}_", f"{kind}/") if kind else ("", "")
    return Routine(
        includes=(f"portable/{folder}transpose_conv2d.h",),
        body=f"marram_portable_{name}transpose_conv2d({sizes.literal}, x0, y0, row_begin, row_end, @weights@, {arguments});",
        constants=(ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()), *arrays),
        windows=(_window(sizes.kernel_height, sizes.stride_y, sizes.pad_top),),
        columns=(_window(sizes.kernel_width, sizes.stride_x, sizes.pad_left),),
        traversal="pixels",
        block=0,
        instructions=cost * sizes.in_height * sizes.in_width * weights.size,
    )


def _window(kernel: int, stride: int, pad: int) -> Window:
    """What output row y is reached from: the input rows (y + pad - k) / stride, for k of the kernel."""
    return Window(kernel=-(-kernel // stride), pad=kernel - stride - pad, rate=stride)


def _weights(place: Place) -> Array:
    """int8 (O, KH, KW, C); of a sequence, whose pixels are taken as rows, (O, KW, KH, C)."""
    weights = place.site.constant(1)
    return weights.transpose(0, 2, 1, 3) if is_sequence(place.site.input(0).shape, place.site.output.shape) else weights
