"""Fully connected layers in plain C."""

from __future__ import annotations

from marram.compile.c.kernels.portable.channels import channel_records
from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Dense


def dense(place: Place) -> Routine:
    """int8 fully connected layer on the last axis."""
    site = place.site
    op = site.op(Dense)
    weights = site.constant(1)
    outputs, depth = weights.shape
    by = requantisation(site, op.activation, channel_axis=0)
    rows = site.input(0).size // depth
    numbers = f"{depth}, {outputs}, {by.zero_point}, {by.low}, {by.high}"
    return Routine(
        includes=("portable/dense.h",),
        body=f"static const marram_portable_dense_layer layer = {{@weights@, @channels@, {numbers}}};\n"
        f"marram_portable_dense(&layer, x0, y0, {rows});",
        constants=(
            ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()),
            ConstantArray(name="channels", c_type="int32_t", values=channel_records(by)),
        ),
        instructions=rows * (3.5 * weights.size + 25.0 * outputs),
    )
