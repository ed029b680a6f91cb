"""Convolution with Helium: windows laid out as stretches of memory, then products of 16 at a time."""

from __future__ import annotations

import msgspec

from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.kernels.mve.packing import (
    LANES,
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

BLOCK = 3
"""Pixels that the products take at a time."""

LEAN_BYTES, FAST_BYTES = 128, 768
"""The columns of a chunk of pixels stay below, if those of one block do."""


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
    chunk = _chunk(inner, LEAN_BYTES if place.lean else FAST_BYTES)
    return Routine(
        includes=("mve/conv2d.h",),
        body=f"static const marram_mve_conv conv = {{{window_literal(inner)}, {layer_literal(by, weights.shape[1])}, "
        f"{site.zero_point(site.input(0))}, {chunk}, {row_pixels}}};\n"
        f"marram_mve_begin(scratch, &conv);\n"
        f"marram_mve_conv2d_{mode_of(by)}(x0, y0, row_begin, row_end, scratch);",
        constants=(product_weights(weights), channel_groups(by)),
        scratch_bytes=STATE_BYTES + _columns_bytes(inner, chunk) + LANES,
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        instructions=_instructions(inner, chunk),
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


def _columns_bytes(sizes: Geometry, chunk: int) -> int:
    columns = (min(chunk, sizes.out_width) - 1) * sizes.stride_x + sizes.kernel_width
    return columns * sizes.kernel_height * sizes.in_channels


def _chunk(sizes: Geometry, limit_bytes: int) -> int:
    """Pixels made from one filling of the scratch: whole blocks, no more than a row has."""
    most = -(-sizes.out_width // BLOCK) * BLOCK
    return max((size for size in range(BLOCK, most + 1, BLOCK) if _columns_bytes(sizes, size) <= limit_bytes), default=BLOCK)


def _instructions(sizes: Geometry, chunk: int) -> float:
    steps = -(-sizes.kernel_height * sizes.kernel_width * sizes.in_channels // LANES)
    groups = -(-sizes.out_channels // 4)
    blocks = sizes.out_height * -(-sizes.out_width // BLOCK)
    chunks = sizes.out_height * -(-sizes.out_width // chunk)
    copies = 3.0 * -(-sizes.in_channels // LANES) + (6.0 if sizes.kernel_height > 1 else 0.0)
    columns = (chunk - 1) * sizes.stride_x + sizes.kernel_width
    taking = 80.0 + sizes.kernel_height * (60.0 + columns * copies)
    return blocks * (30.0 + groups * (24.0 * steps + 55.0)) + chunks * taking
