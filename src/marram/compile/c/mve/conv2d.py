"""Convolution with Helium: windows laid out as stretches of memory, then products of 16 at a time."""

from __future__ import annotations

import msgspec

from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.mve.packing import (
    STATE_BYTES,
    channel_groups,
    layer_literal,
    mode_of,
    need_right_shifts,
    product_weights,
    window_literal,
)
from marram.compile.c.place import Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Conv2D

_BLOCK = 3
_FAST_BLOCKS = 4


def conv2d(place: Place) -> Routine:
    """int8 convolution in one group, columns not dilated."""
    site = place.site
    op = site.op(Conv2D)
    weights = site.constant(1)
    if site.input(0).dtype != "int8" or op.groups != 1:
        raise site.error("int8 in one group is served here")
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    if sizes.dilation_x != 1:
        raise site.error("dilated columns are not served here")
    by = requantisation(site, op.activation, channel_axis=0)
    need_right_shifts(place, by)
    weights = weights.reshape(len(weights), sizes.kernel_height, sizes.kernel_width, -1).transpose(0, 2, 1, 3)
    weights = weights.reshape(len(weights), -1)
    inner, row_pixels = _inner(sizes)
    chunk = _BLOCK if place.lean else _BLOCK * _FAST_BLOCKS
    chunk = min(chunk, -(-inner.out_width // _BLOCK) * _BLOCK)
    columns = (min(chunk, inner.out_width) - 1) * inner.stride_x + inner.kernel_width
    steps = -(-weights.shape[1] // 16)
    outputs = sizes.out_height * sizes.out_width
    return Routine(
        includes=("mve/conv2d.h",),
        body=f"static const marram_mve_conv conv = {{{window_literal(inner)}, {layer_literal(by, weights.shape[1])}, "
        f"{site.zero_point(site.input(0))}, {chunk}, {row_pixels}}};\n"
        f"marram_mve_begin(scratch, &conv);\n"
        f"marram_mve_conv2d_{mode_of(by)}(x0, y0, row_begin, row_end, scratch);",
        constants=(product_weights(weights), channel_groups(by)),
        scratch_bytes=STATE_BYTES + columns * inner.kernel_height * inner.in_channels + 16,
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        instructions=outputs * (len(weights) * (2.0 * steps + 4.0) + weights.shape[1] / 4.0),
    )


def _inner(sizes: Geometry) -> tuple[Geometry, int]:
    """The sizes that the kernel works with, and how many of its pixels a row is where it is not a row.

    Where rows follow each other in memory they are made as one: sequences, and pointwise convolutions.
    """
    narrow = sizes.out_width == sizes.in_width == sizes.kernel_width == 1 and sizes.pad_left == 0
    if sizes.whole and narrow and sizes.dilation_y == 1:
        turned = {"in_height": 1, "in_rows": 1, "out_height": 1, "out_rows": 1, "kernel_height": 1, "stride_y": 1, "pad_top": 0}
        turned |= {"in_width": sizes.in_height, "out_width": sizes.out_height, "kernel_width": sizes.kernel_height}
        turned |= {"stride_x": sizes.stride_y, "pad_left": sizes.pad_top}
        inner = msgspec.structs.replace(sizes, **turned)
        return inner, 1
    pointwise = sizes.kernel_height == sizes.kernel_width == sizes.stride_x == sizes.stride_y == 1
    if sizes.whole and pointwise and sizes.out_width == sizes.in_width and sizes.out_height == sizes.in_height:
        size = sizes.in_height * sizes.in_width
        flat = {"in_height": 1, "in_rows": 1, "out_height": 1, "out_rows": 1, "in_width": size, "out_width": size}
        inner = msgspec.structs.replace(sizes, **flat)
        return inner, sizes.out_width
    return sizes, 0
