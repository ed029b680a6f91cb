"""Convolution on Armv6-M: four pixels by one channel."""

from __future__ import annotations

import numpy as np

from marram.compile.c.kernels.armv6m.records import records
from marram.compile.c.kernels.portable.blocks import BlockKernel, block_convolution
from marram.compile.c.kernels.scalar.records import require_bytes
from marram.compile.c.place import Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Conv2D

_KERNEL = BlockKernel(include="armv6m/conv2d.h", function="marram_armv6m_conv2d", pixels=4, channels=1, cost=(3.6, 35.0))


def conv2d(place: Place) -> Routine:
    """int8 convolution, any geometry, one group, right shifts only."""
    site = place.site
    op = site.op(Conv2D)
    require_bytes(place)
    if op.groups != 1:
        raise site.error("only one group")
    by = requantisation(site, op.activation, channel_axis=0)
    bias, of_channels = records(site, by)
    return block_convolution(place, by, np.concatenate([bias[:, None], of_channels], axis=1).ravel(), _KERNEL)
