"""Averages with the DSP extension: four channels at a time, one multiplication in place of the division."""

from __future__ import annotations

import numpy as np

from marram.compile.c.division import LinearMap, linear_map
from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.place import Place, Routine
from marram.core.operators import AveragePool2D, Mean
from marram.model.reference.arithmetic import activation_range
from marram.model.reference.tables import kernel_of

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
        body=_call(sizes, "row_begin, row_end", found, low, high),
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
    found = _mean_map(place, count) if count <= _MOST_PIXELS and site.output.dtype == "int8" else None
    if found is None:
        raise site.error(f"no factor makes means of all sums of {count} pixels")
    _, height, width, channels = shape
    sizes = Geometry(
        in_height=height, in_width=width, in_channels=channels, in_rows=height, out_height=1, out_width=1, out_channels=channels,
        out_rows=1, kernel_height=height, kernel_width=width, stride_y=1, stride_x=1, pad_top=0, pad_left=0,
    )  # fmt: skip
    return Routine(
        includes=("dsp/average_pool2d.h",),
        body=_call(sizes, "0, 1", found, -128, 127),
        instructions=1.4 * site.input(0).size + 8.0 * site.output.size,
    )


def _mean_map(place: Place, count: int) -> LinearMap | None:
    """The reference's mean of every sum. A sum is given to it as pixels of its quotient, some of them one greater."""
    site = place.site
    _, height, width, channels = site.input(0).shape
    sums = np.arange(-128 * count, 127 * count + 1)
    lesser, over = np.divmod(sums, count)
    pixels = (lesser[:, None] + (np.arange(count) < over[:, None])).astype(np.int8)
    padded = np.zeros((-(-len(sums) // channels) * channels, count), np.int8)
    padded[: len(sums)] = pixels
    images = padded.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    (found,) = kernel_of(site)(np.ascontiguousarray(images))
    truth = found.ravel()[: len(sums)].astype(np.int64)
    slope = float(site.scale(site.input(0))) / float(site.scale(site.output)) / count
    return linear_map(sums, truth, slope, -128, 127)


def _call(sizes: Geometry, rows: str, by: LinearMap, low: int, high: int) -> str:
    return (
        f"marram_dsp_average_pool2d({sizes.literal}, x0, y0, {rows}, {by.factor}, {by.offset}, {by.shift}, {low}, {high});"
    )
