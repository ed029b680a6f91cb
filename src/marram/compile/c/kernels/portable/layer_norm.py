"""Layer norm in plain C, by the definition of ``model/reference/normalisation.py``."""

from __future__ import annotations

import math

import numpy as np

from marram.compile.c.place import ConstantArray, Place, Routine
from marram.compile.c.requantisation import INT32_MAX
from marram.core.operators import LayerNorm
from marram.model.reference.arithmetic import integer_range, multiplier
from marram.model.reference.normalisation import NORMALISED_BITS, affine_of, variance_floor


def layer_norm(place: Place) -> Routine:
    """int8 layer norm over the last axis."""
    site = place.site
    if site.input(0).dtype != "int8" or site.output.dtype != "int8":
        raise site.error("layer norm takes int8 only")
    gamma, beta, scale = affine_of(site)
    channels = site.output.shape[-1]
    reach = np.abs(gamma) * ((math.isqrt(channels) + 1) << NORMALISED_BITS) + np.abs(beta)
    if (reach > INT32_MAX).any():
        raise site.error("gamma and beta can carry a sum out of int32", "A coarser scale of gamma.")
    fraction, floor = variance_floor(channels, float(site.scale(site.input(0))), site.op(LayerNorm).epsilon)
    by = multiplier(scale * 2.0**-NORMALISED_BITS / float(site.scale(site.output)))
    if int(by.shifts) > 31:
        raise site.error("the factor is beyond 2**31")
    low, high = integer_range(site.output)
    rows = site.output.size // channels
    finish = f"{int(by.values)}, {int(by.shifts)}, {site.zero_point(site.output)}, {low}, {high}"
    return Routine(
        includes=("portable/layer_norm.h",),
        body=f"marram_portable_layer_norm(x0, y0, {rows}, {channels}, @gamma@, @beta@, {fraction}, "
        f"INT64_C({floor}), {finish});",
        constants=(
            ConstantArray(name="gamma", c_type="int16_t", values=gamma),
            ConstantArray(name="beta", c_type="int32_t", values=beta),
        ),
        traversal="elements",
        instructions=1500.0 * rows + 60.0 * site.output.size,
    )
