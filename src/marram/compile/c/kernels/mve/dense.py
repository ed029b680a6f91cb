"""Fully connected layers with Helium."""

from __future__ import annotations

from marram.compile.c.kernels.mve.packing import (
    LANES,
    channel_groups,
    dense_weights,
    layer_literal,
    mode_of,
    need_right_shifts,
    product_weights,
)
from marram.compile.c.place import Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Dense

_BLOCK = 3


def dense(place: Place) -> Routine:
    """int8 fully connected layer on the last axis: vector by vector, or three vectors at a time as a convolution does."""
    site = place.site
    op = site.op(Dense)
    weights = site.constant(1)
    if site.input(0).dtype != "int8":
        raise site.error("int8 is served here")
    outputs, depth = weights.shape
    by = requantisation(site, op.activation, channel_axis=0)
    need_right_shifts(place, by)
    vectors = site.input(0).size // depth
    layer = f"static const marram_mve_layer layer = {layer_literal(by, depth)};"
    if vectors >= _BLOCK and depth % LANES == 0:
        return Routine(
            includes=("mve/product.h",),
            body=f"{layer}\nmarram_mve_vectors_{mode_of(by)}(&layer, x0, y0, {vectors});",
            constants=(product_weights(weights), channel_groups(by)),
            instructions=vectors * outputs * (depth / 8.0 + 5.0),
        )
    return Routine(
        includes=("mve/dense.h",),
        body=f"{layer}\nmarram_mve_dense_{mode_of(by)}(&layer, x0, y0, {vectors});",
        constants=(dense_weights(weights), channel_groups(by)),
        instructions=vectors * outputs * (-(-depth // LANES) * 2.5 + 6.0),
    )
