"""Average pooling with vectors of channels."""

from __future__ import annotations

from marram.compile.c.geometry import geometry
from marram.compile.c.place import Place, Routine
from marram.core.operators import AveragePool2D
from marram.model.reference.arithmetic import activation_range


def average_pool2d(place: Place) -> Routine:
    """int8 average pooling of one image; padded places are not counted."""
    site = place.site
    op = site.op(AveragePool2D)
    site.need_same_quantisation()
    if site.input(0).shape[0] != 1 or site.input(0).dtype != "int8":
        raise site.error("host kernels take one int8 image")
    sizes = geometry(place, op, op.kernel)
    low, high = activation_range(site, op.activation)
    return Routine(
        includes=("host/average_pool2d.h",),
        body=f"marram_host_average_pool2d({sizes.literal}, x0, y0, {low}, {high});",
        instructions=site.output.size * op.kernel[0] * op.kernel[1] / 8.0,
    )
