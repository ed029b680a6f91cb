"""Fully connected layers of int16 activations."""

from __future__ import annotations

from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.portable.int16.finish import finish
from marram.core.operators import Dense


def dense(place: Place) -> Routine:
    """On the last axis."""
    op = place.site.op(Dense)
    weights = place.site.constant(1)
    outputs, depth = weights.shape
    rows = place.site.input(0).size // depth
    done = finish(place, op.activation, channel_axis=0)
    return Routine(
        includes=("portable/int16/dense.h",),
        body=f"marram_portable_int16_dense(x0, y0, {rows}, {depth}, {outputs}, @weights@, @bias@, @factors@, {done.limits});",
        constants=(ConstantArray(name="weights", c_type="int8_t", values=weights.ravel()), *done.arrays),
        instructions=10.0 * rows * weights.size,
    )
