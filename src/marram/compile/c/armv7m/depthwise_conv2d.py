"""Depthwise convolution on Armv7-M: up to six columns of a channel at a time."""

from __future__ import annotations

import numpy as np

from marram.compile.c.armv7m.records import records, require_bytes
from marram.compile.c.place import Place, Routine
from marram.compile.c.portable.bands import BandKernel, band_depthwise, band_sizes, best_width
from marram.compile.c.requantisation import requantisation
from marram.core.operators import DepthwiseConv2D


def depthwise_conv2d(place: Place) -> Routine:
    """int8 depthwise convolution, 3 x 3, stride 1 or 2, right shifts only."""
    site = place.site
    require_bytes(place)
    sizes = band_sizes(place)
    by = requantisation(site, site.op(DepthwiseConv2D).activation, channel_axis=3)
    bias, of_channels = records(site, by)
    wide = best_width(sizes.out_width, 6)
    kernel = BandKernel(
        include="armv7m/depthwise_conv2d.h",
        driver="marram_armv7m_depthwise",
        columns=f"marram_armv7m_columns_{wide}_{sizes.stride_x}",
        definition=f"MARRAM_ARMV7M_DEPTHWISE({wide}, {sizes.stride_x})",
        wide=wide,
        cost=2.9,
    )
    return band_depthwise(place, sizes, by, np.concatenate([bias[:, None], of_channels], axis=1), kernel)
