"""Depthwise convolution on Armv7-M: up to six columns of a channel at a time."""

from __future__ import annotations

from marram.compile.c.kernels.scalar.depthwise_conv2d import BandKernel, depthwise_in_bands
from marram.compile.c.kernels.scalar.records import records
from marram.compile.c.place import Place, Routine

_KERNEL = BandKernel(family="armv7m", records=records, cost=2.9)


def depthwise_conv2d(place: Place) -> Routine:
    """int8 depthwise convolution, 3 x 3, stride 1 or 2, right shifts only."""
    return depthwise_in_bands(place, _KERNEL)
