"""Softmax in plain C."""

from __future__ import annotations

import numpy as np

from marram.compile.c.place import ConstantArray, Place, Routine
from marram.core.operators import Softmax
from marram.model.reference.softmax import exponential_table


def softmax(place: Place) -> Routine:
    """int8 softmax over the last axis, output scale 1/256 and zero point -128."""
    site = place.site
    if site.scale(site.output) != np.float32(1 / 256) or site.zero_point(site.output) != -128:
        raise site.error("the output must have scale 1/256 and zero point -128")
    depth = site.output.shape[-1]
    table = exponential_table(float(site.scale(site.input(0))), float(np.float32(site.op(Softmax).beta)))
    return Routine(
        includes=("portable/softmax.h",),
        body=f"marram_portable_softmax(x0, y0, {site.output.size // depth}, {depth}, @table@);",
        constants=(ConstantArray(name="table", c_type="int32_t", values=table, role="table"),),
        traversal="elements",
        instructions=40.0 * site.output.size,
    )
