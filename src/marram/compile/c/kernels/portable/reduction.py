"""Mean and sum over axes in plain C."""

from __future__ import annotations

import math

from marram.compile.c.kernels.portable.strided import axes_of, block, loops, steps_of
from marram.compile.c.place import Place, Routine
from marram.core.operators import Mean, Sum
from marram.model.reference.arithmetic import Multiplier, multiplier
from marram.model.reference.reduction import divided


def mean(place: Place) -> Routine:
    """int8 mean over any axes."""
    axes = place.site.op(Mean).axes
    count = math.prod(place.site.input(0).shape[axis] for axis in axes)
    return _reduced(place, axes, count, divided(_factor(place), count))


def total(place: Place) -> Routine:
    """int8 sum over any axes."""
    axes = place.site.op(Sum).axes
    count = math.prod(place.site.input(0).shape[axis] for axis in axes)
    return _reduced(place, axes, count, _factor(place))


def _factor(place: Place) -> Multiplier:
    site = place.site
    if site.input(0).dtype != "int8" or site.output.dtype != "int8":
        raise site.error("reductions take int8 only")
    return multiplier(float(site.scale(site.input(0))) / float(site.scale(site.output)))


def _reduced(place: Place, axes: tuple[int, ...], count: int, by: Multiplier) -> Routine:
    """Loops over what stays around loops over what is summed."""
    site = place.site
    if int(by.shifts) > 31:
        raise site.error("the factor is beyond 2**31")
    shape = site.input(0).shape
    steps = steps_of(shape)
    summed = {axis % len(shape) for axis in axes}
    kept = [axis for axis in range(len(shape)) if axis not in summed]
    sizes = [shape[axis] for axis in kept]
    outer = axes_of(sizes, [steps[axis] for axis in kept], steps_of(sizes))
    inner = axes_of([shape[axis] for axis in sorted(summed)], [steps[axis] for axis in sorted(summed)])
    finish = f"{int(by.values)}, {int(by.shifts)}, {site.zero_point(site.output)}, -128, 127"

    def element(places: tuple[str, ...]) -> str:
        source, target = places
        add = loops(inner, lambda at: f"sum += *({at[0]});", (source,), depth=len(outer))
        start = f"int32_t sum = {-site.zero_point(site.input(0)) * count};"
        lines = f"{start}\n{add}\n*({target}) = marram_portable_rescale(sum, {finish});"
        return lines if outer else block(lines)

    body = loops(outer, element, ("x0", "y0"))
    return Routine(
        includes=("portable/rescale.h",),
        body=body,
        instructions=5.0 * site.input(0).size + 30.0 * site.output.size,
    )
