"""Depthwise convolution of three by three, channel by channel through a band in scratch.

The C is ``kernels/scalar/depthwise_conv2d.h``. A family gives its columns functions and the records of its channels.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from marram.compile.c.geometry import Geometry, geometry
from marram.compile.c.kernels.scalar.records import require_bytes
from marram.compile.c.place import ConstantArray, Place, Routine, Traversal
from marram.compile.c.requantisation import Requantisation, requantisation
from marram.core.graph import Array
from marram.core.operators import DepthwiseConv2D
from marram.model.reference.site import Site

BAND_BYTES = 512
"""A band is as tall as fits into this: taller ones save little."""

LEAN_BAND_BYTES = 192


class BandKernel(msgspec.Struct, frozen=True, kw_only=True):
    """A family's depthwise convolution: ``MARRAM_<FAMILY>_DEPTHWISE`` of its header defines a columns function.

    Args:
        family: its name.
        records: biases (C,) and records (C, n) of the channels, from a site and its requantisation.
        cost: estimated instructions for each MAC.
    """

    family: str
    records: Callable[[Site, Requantisation], tuple[Array, Array]]
    cost: float


def _sizes(place: Place) -> Geometry:
    """The sizes of a layer that goes through bands.

    Raises:
        UserError: a kernel other than three by three, dilation, strides other than 1 or 2 both ways, or several outputs of
            an input channel.
    """
    site = place.site
    op = site.op(DepthwiseConv2D)
    weights = site.constant(1)
    sizes = geometry(place, op, (weights.shape[1], weights.shape[2]))
    kernel = (sizes.kernel_height, sizes.kernel_width)
    stride = (sizes.stride_y, sizes.stride_x)
    if kernel != (3, 3) or stride not in {(1, 1), (2, 2)} or (sizes.dilation_y, sizes.dilation_x) != (1, 1):
        raise site.error(f"only 3 x 3 kernels at stride 1 or 2, not {kernel} at {stride}")
    if sizes.in_channels != sizes.out_channels:
        raise site.error("only as many output channels as input channels")
    return sizes


def _width(width: int, most: int) -> int:
    """Columns at a time for rows of ``width``: the fewest instructions over the row, the last columns partly made twice."""
    return min(range(1, min(width, most) + 1), key=lambda wide: (-(-width // wide) * (32 + 19 * wide), wide))


def depthwise_in_bands(place: Place, kernel: BandKernel) -> Routine:
    """int8 depthwise convolution, 3 x 3, stride 1 or 2, right shifts only, by the columns function of a family."""
    site = place.site
    require_bytes(place)
    sizes = _sizes(place)
    by = requantisation(site, site.op(DepthwiseConv2D).activation, channel_axis=3)
    bias, of_channels = kernel.records(site, by)
    records = np.concatenate([bias[:, None], of_channels], axis=1)
    wide = _width(sizes.out_width, 6)
    columns = f"marram_{kernel.family}_columns_{wide}_{sizes.stride_x}"
    weights = site.constant(1).reshape(9, -1).T
    pitch = (sizes.out_width - 1) * sizes.stride_x + 3
    same = sizes.stride_y == 1 and (sizes.in_height, sizes.in_width) == (sizes.out_height, sizes.out_width)
    by_rows = not (same and sizes.whole)
    limit = LEAN_BAND_BYTES if place.lean else BAND_BYTES
    tall = 1 if by_rows else max(1, min(sizes.out_height, (limit // pitch - 3) // sizes.stride_y + 1))
    band = pitch * ((tall - 1) * sizes.stride_y + 3)
    traversal: Traversal = "pixels" if by_rows else "planes"
    clamps = int((by.low, by.high) != (-128, 127))
    numbers = (
        records.shape[1],
        pitch,
        wide,
        tall,
        int(by_rows),
        site.zero_point(site.input(0)),
        clamps,
        by.low,
        by.high,
    )
    fields = f"@weights@, @channels@, {', '.join(map(str, numbers))}"
    layer = f"static const marram_bands layer = {{{sizes.fields}, {fields}}};"
    staged = sizes.out_width * sizes.out_channels if by_rows else 0
    again = (3 - sizes.stride_y) * pitch * 4.0  # rows that two strips share are copied, or gathered once more
    calls = 80.0 + 45.0 * -(-sizes.out_width // wide)
    strips = -(-sizes.out_height // tall) * sizes.out_channels * (calls + (again if tall < sizes.out_height else 0.0))
    return Routine(
        includes=(f"{kernel.family}/depthwise_conv2d.h",),
        body=f"{layer}\nmarram_bands_run(&layer, x0, y0, row_begin, row_end, scratch, {columns});",
        constants=(
            ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()),
            ConstantArray(name="channels", c_type="int32_t", values=records.ravel()),
        ),
        shared=(_once(columns, f"MARRAM_{kernel.family.upper()}_DEPTHWISE({wide}, {sizes.stride_x})"),),
        scratch_bytes=staged + band,
        windows=(sizes.rows,),
        columns=(sizes.columns,),
        traversal=traversal,
        instructions=kernel.cost * sizes.out_height * sizes.out_width * weights.size + strips,
        call_instructions=100.0 + 4.0 * band,
    )


def _once(function: str, definition: str) -> str:
    """The definition behind a guard: several models may be compiled as one file."""
    guard = function.upper()
    return f"#ifndef {guard}\n#define {guard}\n{definition}\n#endif"
