"""Fully connected layers with packed weights."""

from __future__ import annotations

from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.portable.channels import channel_records
from marram.compile.c.portable.packed.packing import packed_weights
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Dense


def dense(place: Place) -> Routine:
    """int8 fully connected layer on the last axis."""
    site = place.site
    op = site.op(Dense)
    outputs, depth = site.constant(1).shape
    by = requantisation(site, op.activation, channel_axis=0)
    rows = site.input(0).size // depth
    return Routine(
        includes=("portable/packed/dense.h",),
        body=f"marram_portable_packed_dense(x0, y0, {rows}, {depth}, {outputs}, {place.weight_bits}, @weights@, @channels@, "
        f"{by.zero_point}, {by.low}, {by.high});",
        constants=(packed_weights(place), ConstantArray(name="channels", c_type="int32_t", values=channel_records(by))),
        instructions=8.0 * rows * outputs * depth,
    )
