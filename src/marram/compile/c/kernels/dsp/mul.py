"""Product of two tensors with the DSP extension: the double rounding of the reference by one high product."""

from __future__ import annotations

from marram.compile.c.geometry import rows_literal, two_alike
from marram.compile.c.place import POINTWISE, Place, Routine
from marram.compile.c.requantisation import INT32_MAX
from marram.core.operators import Mul
from marram.model.reference.arithmetic import activation_range, multiplier

_GREATEST = 255 * 255


def mul(place: Place) -> Routine:
    """int8 product of two activations of one shape.

    Raises:
        UserError: other shapes or dtypes, a constant, or a factor of 1 or more.
    """
    site = place.site
    a, b = two_alike(place)
    by = multiplier(float(site.scale(a)) * float(site.scale(b)) / float(site.scale(site.output)))
    shift, zero_out = -int(by.shifts), site.zero_point(site.output)
    if shift < 1 or _GREATEST + (abs(zero_out) << shift) + (1 << shift) > INT32_MAX:
        raise site.error("the product's factor is out of the range that is served here")
    low, high = activation_range(site, site.op(Mul).activation)
    addend = (zero_out << shift) + (1 << (shift - 1))
    return Routine(
        includes=("dsp/mul.h",),
        body=f"marram_dsp_mul({rows_literal(place)}, x0, x1, y0, row_begin, row_end, {-site.zero_point(a)}, "
        f"{-site.zero_point(b)}, {int(by.values)}, {addend}, {shift}, {low}, {high});",
        windows=(POINTWISE, POINTWISE),
        columns=(POINTWISE, POINTWISE),
        traversal="elements",
        instructions=(8.0 if (low, high) == (-128, 127) else 11.0) * site.output.size,
    )
