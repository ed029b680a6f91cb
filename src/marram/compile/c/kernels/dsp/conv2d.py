"""Convolution with the DSP extension: windows of three pixels gathered once, two output channels at a time."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.kernels.dsp.packed import UNPACKED_BYTES, lean_conv2d, pair_stream
from marram.compile.c.kernels.dsp.packing import Packed, ending_of, packed_pairs, packed_quads, settled
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import Requantisation, requantisation
from marram.core.graph import Array
from marram.core.operators import Conv2D


def conv2d(place: Place) -> Routine:
    """int8 convolution without groups, any geometry.

    Raises:
        UserError: groups, other dtypes, or an accumulator that can leave int32.
    """
    site = place.site
    op = site.op(Conv2D)
    if op.groups != 1:
        raise site.error(f"it has {op.groups} groups")
    if site.input(0).dtype != "int8":
        raise site.error(f"its input is {site.input(0).dtype}")
    weights = site.constant(1)
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    by = requantisation(site, op.activation, channel_axis=0)
    matrix, by = settled(weights.reshape(len(weights), -1), by)
    zero_in = site.zero_point(site.input(0))
    if place.weight_bits != 8:
        return (lean_conv2d if place.lean else _packed)(place, sizes, matrix, by)
    if place.lean and len(matrix) % 4 == 0 and ending_of(by) != "exact":
        return _lean(sizes, packed_quads(matrix, by), by.zero_point, zero_in)
    return _tiled(sizes, packed_pairs(matrix, by), by.zero_point, zero_in)


def _packed(place: Place, sizes: Geometry, matrix: Array, by: Requantisation) -> Routine:
    """As ``_tiled``, the weights of two channels unpacked into scratch for each three pixels."""
    ending = ending_of(by)
    groups = -(-matrix.shape[1] // 4)
    packed = Packed(stream=pair_stream(place, matrix, by, ending), ending=ending, groups=groups)
    whole = _tiled(sizes, packed, by.zero_point, place.site.zero_point(place.site.input(0)))
    tile = f"marram_dsp_tile_{ending}"
    unpacking = (2.75 * groups + 45) * ((sizes.out_channels + 1) // 2) * -(-sizes.out_height * sizes.out_width // 3)
    return msgspec.structs.replace(
        whole,
        includes=(*whole.includes, "dsp/packed/tile.h"),
        body=whole.body.replace(tile, f"{tile}_{place.weight_bits}"),
        scratch_bytes=max(whole.scratch_bytes, 24 + 24 * groups + 8 * groups + UNPACKED_BYTES),
        instructions=whole.instructions + unpacking,
    )


def _tiled(sizes: Geometry, packed: Packed, zero_out: int, zero_in: int) -> Routine:
    """Three pixels by two channels at a time."""
    stream = ConstantArray(name="stream", c_type="uint32_t", values=packed.stream)
    padding = ConstantArray(name="padding", c_type="int8_t", values=np.full(sizes.in_channels, zero_in), role="table")
    padded = False
    zero = 2 * zero_out + 1
    tile = f"marram_dsp_tile_{packed.ending}"
    per_tile = _tile_instructions(sizes, packed)
    words = sizes.in_channels % 4 == 0
    header = "dsp/conv2d.h"
    if words and sizes.whole and _is_pointwise(sizes):
        header = "dsp/pointwise.h"
        body = (
            f"marram_dsp_pointwise(x0 + row_begin * {sizes.in_width * sizes.in_channels}, "
            f"y0 + row_begin * {sizes.out_width * sizes.out_channels}, (row_end - row_begin) * {sizes.out_width}, "
            f"{packed.groups}, {sizes.out_channels}, @stream@, {tile}, {zero}, scratch);"
        )
    elif words:
        padded = _has_padding(sizes)
        outside = "@padding@" if padded else "(const int8_t *)@stream@"  # without padding it is never read, but not NULL either
        window = sizes.literal.removeprefix("((marram_window)").removesuffix(")")
        body = (
            f"static const marram_dsp_conv conv = {{{window}, {packed.groups}, {zero}, @stream@, {tile}, "
            f"{outside}}};\nmarram_dsp_conv2d(&conv, x0, y0, row_begin, row_end, scratch);"
        )
    else:
        body = (
            f"marram_dsp_conv2d_staged({sizes.literal}, x0, y0, row_begin, row_end, @stream@, {tile}, {packed.groups}, "
            f"{zero}, {zero_in}, scratch);"
        )
    return Routine(
        features=("MARRAM_DSP_ODD_CHANNELS",) if sizes.out_channels % 2 else (),
        includes=(header, *(("dsp/tile_exact.h",) if packed.ending == "exact" else ())),
        body=body,
        constants=(stream, padding) if padded else (stream,),
        scratch_bytes=24 + (24 if words else 36) * packed.groups,
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=1,
        instructions=-(-sizes.out_height * sizes.out_width // 3) * per_tile + 60,
        call_instructions=-sizes.out_width % 3 / 3 * per_tile + 60,  # the last tile of a call may lack pixels
    )


def _lean(sizes: Geometry, packed: Packed, zero_out: int, zero_in: int) -> Routine:
    """One pixel by four channels at a time, its window kept as bytes."""
    pixels = sizes.out_height * sizes.out_width
    return Routine(
        includes=("dsp/conv2d_lean.h",),
        body=f"marram_dsp_conv2d_lean({sizes.literal}, x0, y0, row_begin, row_end, @stream@, "
        f"marram_dsp_quads_raw_{packed.ending}, {packed.groups}, {2 * zero_out + 1}, {zero_in}, scratch);",
        constants=(ConstantArray(name="stream", c_type="uint32_t", values=packed.stream),),
        scratch_bytes=4 * packed.groups,
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=1,
        instructions=pixels * ((17.5 * packed.groups + 47) * sizes.out_channels / 4 + 9 * packed.groups + 60),
    )


def _is_pointwise(sizes: Geometry) -> bool:
    """Whether outputs and inputs are the same pixels."""
    one = sizes.kernel_height == sizes.kernel_width == sizes.stride_y == sizes.stride_x == 1
    return one and not _has_padding(sizes)


def _has_padding(sizes: Geometry) -> bool:
    """Whether some window reaches beyond the image."""
    bottom = (sizes.out_height - 1) * sizes.stride_y - sizes.pad_top + sizes.rows.reach
    right = (sizes.out_width - 1) * sizes.stride_x - sizes.pad_left + sizes.columns.reach
    return sizes.pad_top > 0 or sizes.pad_left > 0 or bottom > sizes.in_height or right > sizes.in_width


def _tile_instructions(sizes: Geometry, packed: Packed) -> float:
    couple = 17.5 * packed.groups + (42 if packed.ending != "exact" else 220)
    gather = (17.5 if sizes.in_channels % 4 == 0 else 40) * packed.groups + 60 * sizes.kernel_height
    return couple * ((sizes.out_channels + 1) // 2) + gather
