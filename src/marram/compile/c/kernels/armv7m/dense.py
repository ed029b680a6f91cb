"""Fully connected layers on Armv7-M: eight channels at a time."""

from __future__ import annotations

from marram.compile.c.kernels.portable.blocks import interleaved
from marram.compile.c.kernels.scalar.dense import DenseKernel, dense_in_groups
from marram.compile.c.kernels.scalar.records import grouped, records, require_bytes
from marram.compile.c.place import Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Dense

_KERNEL = DenseKernel(include="armv7m/dense.h", function="marram_armv7m_dense", channels=8, words=4, cost=(2.2, 10.0))


def dense(place: Place) -> Routine:
    """int8 fully connected layer on the last axis, right shifts only."""
    site = place.site
    require_bytes(place)
    by = requantisation(site, site.op(Dense).activation, channel_axis=0)
    return dense_in_groups(place, by, interleaved(site.constant(1), 8), grouped(*records(site, by), 8), _KERNEL)
