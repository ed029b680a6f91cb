"""Depthwise convolution with vectors of channels, four taps at a time."""

from __future__ import annotations

import math

import numpy as np

from marram.compile.c.kernels.host.channels import scaling
from marram.compile.c.kernels.host.picture import Picture, picture
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.graph import Array
from marram.core.operators import DepthwiseConv2D

_PERIOD = 64
_MOST_WEIGHT_COPIES = 16


def depthwise_conv2d(place: Place) -> Routine:
    """int8 depthwise convolution of one image, one output channel for each input channel.

    A row of output is taken as one run of bytes: the byte at ``i`` needs those at ``i`` plus an offset for each tap, whatever
    the number of channels, because strided pixels are brought side by side (``phases``). The weights come again after a
    period that both 64 bytes and the channels divide.
    """
    site = place.site
    op = site.op(DepthwiseConv2D)
    weights = site.constant(1)
    _, kernel_height, kernel_width, outputs = weights.shape
    channels = site.input(0).shape[3]
    periods = math.lcm(channels, _PERIOD) // _PERIOD
    if outputs != channels:
        raise site.error("more outputs than inputs are not served here")
    if periods * _PERIOD > _MOST_WEIGHT_COPIES * max(channels, _PERIOD):
        raise site.error("the weights would be repeated too often")
    _, out_height, out_width, _ = site.output.shape
    phases = op.stride[1]
    sizes = picture(place, op, (kernel_height, kernel_width), phases=phases)
    groups = _tap_groups(kernel_height, kernel_width)
    order = _interleaved(np.arange(periods * _PERIOD) % channels)
    scaled = scaling(requantisation(site, op.activation, channel_axis=3), weights.reshape(-1, channels).T, order)
    taps = [_offset(tap or group[0], sizes, op) for group in groups for tap in group]
    literal = (
        f"((marram_depthwise){{.rows = {out_height}, .row_bytes = {out_width * channels}, .periods = {periods}, "
        f".groups = {len(groups)}, .in_row = {op.stride[0] * sizes.row_bytes}}})"
    )
    return Routine(
        includes=("host/depthwise_conv2d.h",),
        body=f"static const int taps[{len(taps)}] = {{{', '.join(map(str, taps))}}};\n"
        f"marram_host_depthwise_conv2d({sizes.literal}, {literal}, x0, y0, @weights@, taps, {scaled.literal}, "
        f"{site.zero_point(site.input(0))}, scratch);",
        constants=(_packed(weights, groups, order), scaled.records),
        scratch_bytes=sizes.size_bytes,
        instructions=weights.size * out_height * out_width / 16.0,
    )


Tap = tuple[int, int]


def _tap_groups(height: int, width: int) -> list[tuple[Tap | None, ...]]:
    """The taps in groups of four, the last filled up."""
    taps: list[Tap | None] = [(y, x) for x in range(width) for y in range(height)]
    taps += [None] * (-len(taps) % 4)
    return [tuple(taps[first : first + 4]) for first in range(0, len(taps), 4)]


def _offset(tap: Tap | None, sizes: Picture, op: DepthwiseConv2D) -> int:
    """Where a tap stands in the picture, from the first tap of the first output on, in bytes."""
    assert tap is not None
    column = tap[1] * op.dilation[1]
    part = column % sizes.phases * sizes.columns + column // sizes.phases
    return tap[0] * op.dilation[0] * sizes.row_bytes + part * sizes.channels


def _interleaved(of_bytes: Array) -> Array:
    """What belongs to each byte, in the order of ``marram_interleave``: (block, lane, i, j) becomes (block, i, lane, j)."""
    return of_bytes.reshape(-1, 4, 4, 4).transpose(0, 2, 1, 3).ravel()


def _packed(weights: Array, groups: list[tuple[Tap | None, ...]], order: Array) -> ConstantArray:
    """int8 (periods, groups, 64 in order, 4 taps)."""
    zeros = np.zeros(weights.shape[3], np.int8)
    taps = np.stack([[zeros if tap is None else weights[0, tap[0], tap[1]] for tap in group] for group in groups])
    values = taps[:, :, order].reshape(len(groups), 4, -1, _PERIOD).transpose(2, 0, 3, 1)
    return ConstantArray(name="weights", c_type="int8_t", values=values.ravel(), align_bytes=64)
