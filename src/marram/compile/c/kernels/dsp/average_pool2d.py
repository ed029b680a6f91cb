"""Averages with the DSP extension: four channels at a time, one multiplication in place of the division."""

from __future__ import annotations

import numpy as np

from marram.compile.c.division import linear_map
from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.place import Place, Routine
from marram.core.operators import AveragePool2D, Mean
from marram.model.reference.arithmetic import activation_range, multiplier
from marram.model.reference.reduction import divided

_MOST_PIXELS = 256
"""Of a window, so that sums of int8 fit int16."""


def average_pool2d(place: Place) -> Routine:
    """int8 average pooling without padding, windows of at most 256 pixels."""
    site = place.site
    op = site.op(AveragePool2D)
    site.need_same_quantisation()
    count = op.kernel[0] * op.kernel[1]
    if site.output.dtype != "int8" or any(op.padding) or count > _MOST_PIXELS:
        raise site.error("averages of int8 over at most 256 pixels inside of the image are served here")
    sizes = geometry(place, op, op.kernel)
    low, high = activation_range(site, op.activation)
    sums = np.arange(-128 * count, 127 * count + 1)
    truth = np.clip(np.sign(sums) * ((np.abs(sums) + count // 2) // count), low, high)
    found = linear_map(sums, truth, 1 / count, low, high)
    if found is None:
        raise site.error(f"no factor divides all sums of {count} pixels")
    return Routine(
        includes=("dsp/average_pool2d.h",),
        body=_call(sizes, "row_begin, row_end", _quotient(found.factor, found.offset, found.shift), low, high),
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal="pixels",
        block=0,
        instructions=(1.4 * count + 8.0) * site.output.size,
    )


def mean(place: Place) -> Routine:
    """int8 mean over the places of an image of at most 256 pixels."""
    site = place.site
    shape, axes = site.input(0).shape, place.site.op(Mean).axes
    count = int(np.prod(shape[1:3]))
    if len(shape) != 4 or sorted(axis % 4 for axis in axes) != [1, 2] or site.input(0).dtype != "int8" or shape[0] != 1:
        raise site.error("means of int8 over the places of an image are served here")
    if count > _MOST_PIXELS or site.output.dtype != "int8":
        raise site.error(f"means of at most {_MOST_PIXELS} pixels are served here")
    by = divided(multiplier(float(site.scale(site.input(0))) / float(site.scale(site.output))), count)
    right, zero_point = -int(by.shifts), site.zero_point(site.output)
    addend = (zero_point << max(right, 0)) + (1 << max(right, 1) - 1)
    if not 1 <= right <= 31 or abs(addend) + (int(by.values) * 256 * count >> 31) + 2 >= 2**31:
        raise site.error("the mean's factor is out of the range that is served here")
    quotient = _quotient(int(by.values), -site.zero_point(site.input(0)) * count, right, addend=addend, twice=1)
    _, height, width, channels = shape
    sizes = Geometry(
        in_height=height, in_width=width, in_channels=channels, in_rows=height, out_height=1, out_width=1,
        out_channels=channels, out_rows=1, kernel_height=height, kernel_width=width,
        stride_y=1, stride_x=1, pad_top=0, pad_left=0,
    )  # fmt: skip
    return Routine(
        includes=("dsp/average_pool2d.h",),
        body=_call(sizes, "0, 1", quotient, -128, 127),
        instructions=1.4 * site.input(0).size + 8.0 * site.output.size,
    )


def _quotient(factor: int, offset: int, shift: int, *, addend: int = 0, twice: int = 0) -> str:
    fields = f".factor = {factor}, .offset = {offset}, .addend = {addend}, .shift = {shift}, .twice = {twice}"
    return f"((marram_dsp_quotient){{{fields}}})"


def _call(sizes: Geometry, rows: str, quotient: str, low: int, high: int) -> str:
    return f"marram_dsp_average_pool2d({sizes.literal}, x0, y0, {rows}, {quotient}, {low}, {high});"
