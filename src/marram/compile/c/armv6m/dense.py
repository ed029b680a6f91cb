"""Fully connected layers on Armv6-M: four channels at a time."""

from __future__ import annotations

import numpy as np

from marram.compile.c.armv6m.records import records
from marram.compile.c.armv7m.records import grouped, require_bytes
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Dense


def dense(place: Place) -> Routine:
    """int8 fully connected layer on the last axis, right shifts only."""
    site = place.site
    op = site.op(Dense)
    require_bytes(place)
    weights = site.constant(1)
    outputs, depth = weights.shape
    by = requantisation(site, op.activation, channel_axis=0)
    full, rest = divmod(outputs, 4)
    padded = np.zeros((4 * (full + (rest > 0)), depth), np.int8)
    padded[:outputs] = weights
    parts = (
        f"static const marram_armv6m_dense_part full = {{{depth}, {full}, @weights@, @channels@}};\n"
        f"static const marram_armv6m_dense_part rest = {{{depth}, {int(rest > 0)}, "
        f"@weights@ + {full * 4 * depth if rest else 0}, @channels@ + {full * 20 if rest else 0}}};\n"
    )
    rows = site.input(0).size // depth
    return Routine(
        includes=("armv6m/dense.h",),
        body=f"{parts}marram_armv6m_dense(&full, &rest, x0, y0, {rows}, {outputs}, {by.low}, {by.high});",
        constants=(
            ConstantArray(name="weights", c_type="int8_t", values=padded.ravel()),
            ConstantArray(name="channels", c_type="int32_t", values=grouped(*records(site, by), 4)),
        ),
        instructions=rows * (3.6 * weights.size + 40.0 * outputs),
    )
