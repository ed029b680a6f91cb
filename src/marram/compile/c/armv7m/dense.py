"""Fully connected layers on Armv7-M: eight channels at a time."""

from __future__ import annotations

from marram.compile.c.armv7m.records import grouped, records, require_bytes
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.portable.blocks import interleaved
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
    full, rest = divmod(outputs, 8)
    parts = (
        f"static const marram_armv7m_dense_part full = {{{depth}, {full}, @weights@, @channels@}};\n"
        f"static const marram_armv7m_dense_part rest = {{{depth}, {int(rest > 0)}, "
        f"@weights@ + {full * 8 * depth if rest else 0}, @channels@ + {full * 32 if rest else 0}}};\n"
    )
    rows = site.input(0).size // depth
    return Routine(
        includes=("armv7m/dense.h",),
        body=f"{parts}marram_armv7m_dense(&full, &rest, x0, y0, {rows}, {outputs}, {by.low}, {by.high});",
        constants=(
            ConstantArray(name="weights", c_type="int8_t", values=interleaved(weights, 8)),
            ConstantArray(name="channels", c_type="int32_t", values=grouped(*records(site, by), 8)),
        ),
        instructions=rows * (2.2 * weights.size + 10.0 * outputs),
    )
