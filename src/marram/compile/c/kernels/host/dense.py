"""Fully connected layers with vectors of channels."""

from __future__ import annotations

from marram.compile.c.kernels.host.channels import in_a_row, scaling
from marram.compile.c.kernels.host.conv2d import dense_literal
from marram.compile.c.kernels.host.packing import packed_product
from marram.compile.c.kernels.host.picture import SLACK_BYTES
from marram.compile.c.place import Place, Routine
from marram.compile.c.requantisation import requantisation
from marram.core.operators import Dense


def dense(place: Place) -> Routine:
    """int8 fully connected layer on the last axis."""
    site = place.site
    if site.input(0).dtype != "int8" or site.output.dtype != "int8":
        raise site.error("host kernels take int8")
    weights = site.constant(1)
    outputs, depth = weights.shape
    scaled = scaling(requantisation(site, site.op(Dense).activation, channel_axis=0), weights, in_a_row(outputs))
    rows = site.input(0).size // depth
    return Routine(
        includes=("host/conv2d.h",),
        body=f"marram_host_dense({dense_literal(rows, outputs, depth)}, x0, y0, @weights@, {scaled.literal}, scratch);",
        constants=(packed_product(weights.reshape(outputs, 1, depth)), scaled.records),
        scratch_bytes=rows * depth + SLACK_BYTES,
        instructions=weights.size * rows / 32.0,
    )
