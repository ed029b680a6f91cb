"""Convolution on Armv7-M: two pixels by four channels in fourteen registers."""

from __future__ import annotations

from marram.compile.c.kernels.portable.blocks import BlockKernel, block_convolution
from marram.compile.c.kernels.scalar.records import grouped, records, require_bytes
from marram.compile.c.place import Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Conv2D

_KERNEL = BlockKernel(include="armv7m/conv2d.h", function="marram_armv7m_conv2d", pixels=2, channels=4, cost=(1.8, 11.0))


def conv2d(place: Place) -> Routine:
    """int8 convolution, any geometry, one group, right shifts only."""
    site = place.site
    op = site.op(Conv2D)
    require_bytes(place)
    if op.groups != 1:
        raise site.error("only one group")
    by = requantisation(site, op.activation, channel_axis=0)
    return block_convolution(place, by, grouped(*records(site, by), 4), _KERNEL)
