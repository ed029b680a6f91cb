"""Sum and difference of two tensors in plain C."""

from __future__ import annotations

from marram.compile.c.geometry import rows_literal, two_alike
from marram.compile.c.place import POINTWISE, Place, Routine
from marram.core.operators import Activation, Add, Sub
from marram.model.reference.arithmetic import activation_range, multiplier


def add(place: Place) -> Routine:
    """int8 sum."""
    return _sum(place, 1, place.site.op(Add).activation)


def sub(place: Place) -> Routine:
    """int8 difference."""
    return _sum(place, -1, place.site.op(Sub).activation)


def _sum(place: Place, sign: int, activation: Activation) -> Routine:
    site = place.site
    a, b = two_alike(place)
    scale_a, scale_b = float(site.scale(a)), float(site.scale(b))
    twice = 2 * max(scale_a, scale_b)
    factors = [
        multiplier(scale_a / twice),
        multiplier(scale_b / twice),
        multiplier(twice / (2**20 * float(site.scale(site.output)))),
    ]
    low, high = activation_range(site, activation)
    (va, sa), (vb, sb), (vo, so) = ((int(by.values), int(by.shifts)) for by in factors)
    return Routine(
        includes=("portable/add.h",),
        body=f"marram_portable_add({rows_literal(place)}, x0, x1, y0, row_begin, row_end, {sign}, "
        f"{site.zero_point(a)}, {va}, {sa}, {site.zero_point(b)}, {vb}, {sb}, "
        f"{site.zero_point(site.output)}, {vo}, {so}, {low}, {high});",
        windows=(POINTWISE, POINTWISE),
        columns=(POINTWISE, POINTWISE),
        traversal="elements",
        instructions=30.0 * site.output.size,
    )
