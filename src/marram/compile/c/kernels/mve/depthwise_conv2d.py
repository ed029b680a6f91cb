"""Depthwise convolution with Helium: four rows interleaved, 16 places of a channel at a time."""

from __future__ import annotations

import numpy as np

from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.kernels.mve.packing import STATE_BYTES, mode_of, need_right_shifts, window_literal
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import Requantisation, requantisation
from marram.core.graph import Array
from marram.core.operators import DepthwiseConv2D

_MOST = 4


def depthwise_conv2d(place: Place) -> Routine:
    """int8 depthwise convolution: windows of up to 4 x 4, column strides of 1 and 2, as many channels out as in."""
    site = place.site
    op = site.op(DepthwiseConv2D)
    weights = site.constant(1)
    if site.input(0).dtype != "int8" or site.input(0).shape[3] != weights.shape[3]:
        raise site.error("int8 with one output channel for each input channel is served here")
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    if max(sizes.kernel_height, sizes.kernel_width) > _MOST or sizes.stride_x > 2 or sizes.out_width < 2:
        raise site.error("windows of up to 4 x 4, column strides of 1 or 2 and two columns or more are served here")
    if (sizes.dilation_y, sizes.dilation_x) != (1, 1):
        raise site.error("dilated windows are not served here")
    by = requantisation(site, op.activation, channel_axis=3)
    need_right_shifts(place, by)
    weights = weights.reshape(sizes.kernel_height, sizes.kernel_width, -1)
    pair = (sizes.kernel_height, sizes.kernel_width, sizes.stride_y, sizes.stride_x) == (3, 3, 1, 1)
    group = 8 if place.lean or sizes.in_channels <= 8 else 16
    shape = f"{group}_{mode_of(by)}_{int(pair)}_{sizes.stride_x}"
    in_place = (
        pair and sizes.whole and (sizes.in_height, sizes.in_width) == (sizes.out_height, sizes.out_width) and sizes.pad_top == 1
    )
    return Routine(
        includes=("mve/depthwise_conv2d.h",),
        body=f"static const marram_mve_depthwise layer = {{{window_literal(sizes)}, @records@, "
        f"{site.zero_point(site.input(0))}, {by.zero_point}, {by.low}, {by.high}}};\n"
        f"marram_mve_begin(scratch, &layer);\n"
        f"marram_mve_depthwise_conv2d_{shape}(x0, y0, row_begin, row_end, scratch);",
        constants=(ConstantArray(name="records", c_type="int32_t", values=_records(weights, by, 3 if pair else _MOST)),),
        scratch_bytes=_scratch_bytes(sizes, group, pair=pair),
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="planes" if in_place else "whole",
        instructions=_instructions(sizes, group, pair=pair),
    )


def _records(weights: Array, by: Requantisation, columns: int) -> Array:
    """int32: a word of nothing, then for each channel ``columns`` words of weights, bias, multiplier, shift."""
    kernel_height, kernel_width, channels = weights.shape
    places = np.zeros((channels, columns, _MOST), np.int8)
    places[:, :kernel_width, :kernel_height] = weights.transpose(2, 1, 0)
    words = np.ascontiguousarray(places.astype("<i1")).view("<i4")[:, :, 0].astype(np.int64)
    constants = np.stack([by.bias, by.multiplier, by.shift], axis=1)
    return np.concatenate([[0], np.concatenate([words, constants], axis=1).ravel()])


def _scratch_bytes(sizes: Geometry, group: int, *, pair: bool) -> int:
    columns = max((sizes.out_width - 1) * sizes.stride_x, 0 if pair else 3 * sizes.stride_x) + _MOST
    columns = max(columns, sizes.pad_left + sizes.in_width)
    line = -(-sizes.in_width * group // 16) * 16 if pair else 0
    return STATE_BYTES + 16 + line + columns * group * 4 + (64 - group * 4)


def _instructions(sizes: Geometry, group: int, *, pair: bool) -> float:
    strips = -(-sizes.out_height // 2) if pair else sizes.out_height
    turns = -(-sizes.out_width // 2) if pair else -(-sizes.out_width // 4)
    groups = -(-sizes.in_channels // group)
    inside = groups * (120.0 + 15.0 * sizes.in_width) + sizes.in_channels * (30.0 + (16.0 if pair else 20.0) * turns)
    return strips * inside
