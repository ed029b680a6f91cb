"""Sum and difference of two tensors with the DSP extension: one linear form, proven on all pairs of inputs."""

from __future__ import annotations

import numpy as np

from marram.compile.c.geometry import rows_literal, two_alike
from marram.compile.c.place import POINTWISE, Place, Routine
from marram.compile.c.summation import linear_sum
from marram.core.operators import Activation, Add, Sub
from marram.model.reference.arithmetic import activation_range
from marram.model.reference.tables import kernel_of


def add(place: Place) -> Routine:
    """int8 sum."""
    return _sum(place, 1, place.site.op(Add).activation)


def sub(place: Place) -> Routine:
    """int8 difference."""
    return _sum(place, -1, place.site.op(Sub).activation)


def _sum(place: Place, sign: int, activation: Activation) -> Routine:
    site = place.site
    a, b = two_alike(place)
    inputs = np.arange(-128, 128).astype(np.int8)
    (truth,) = kernel_of(site)(np.repeat(inputs, 256), np.tile(inputs, 256))
    scale = float(site.scale(site.output))
    low, high = activation_range(site, activation)
    factors = (float(site.scale(a)) / scale, sign * float(site.scale(b)) / scale)
    found = linear_sum(truth.reshape(256, 256), factors, low, high, dropped=8)
    if found is None:
        raise site.error("no linear form gives this sum exactly")
    return Routine(
        includes=("dsp/add.h",),
        body=f"marram_dsp_add({rows_literal(place)}, x0, x1, y0, row_begin, row_end, {found.first}, {found.second}, "
        f"{found.offset}, {found.shift}, {low}, {high});",
        windows=(POINTWISE, POINTWISE),
        columns=(POINTWISE, POINTWISE),
        traversal="elements",
        instructions=6.5 * site.output.size if (low, high) == (-128, 127) else 9.5 * site.output.size,
    )
