"""Fully connected layers on Armv6-M: four channels at a time."""

from __future__ import annotations

import numpy as np

from marram.compile.c.kernels.armv6m.records import records
from marram.compile.c.kernels.scalar.dense import DenseKernel, dense_in_groups
from marram.compile.c.kernels.scalar.records import grouped, require_bytes
from marram.compile.c.place import Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Dense

_KERNEL = DenseKernel(include="armv6m/dense.h", function="marram_armv6m_dense", channels=4, words=5, cost=(3.6, 40.0))


def dense(place: Place) -> Routine:
    """int8 fully connected layer on the last axis, right shifts only."""
    site = place.site
    require_bytes(place)
    by = requantisation(site, site.op(Dense).activation, channel_axis=0)
    weights = site.constant(1)
    padded = np.pad(weights, ((0, -len(weights) % 4), (0, 0)))
    return dense_in_groups(place, by, padded, grouped(*records(site, by), 4), _KERNEL)
