"""Sum and difference of two tensors with Helium."""

from __future__ import annotations

import msgspec

from marram.compile.c.geometry import rows_literal, two_alike
from marram.compile.c.kernels.mve.packing import CLAMPED, SIGNED
from marram.compile.c.place import POINTWISE, Place, Routine
from marram.core.operators import Activation, Add, Sub
from marram.model.reference.arithmetic import activation_range, multiplier

_SHIFTED, _SUBTRACTED = 4, 8
_BITS = 20


def add(place: Place) -> Routine:
    """int8 sum of two tensors of one shape."""
    return _sum(place, 1, place.site.op(Add).activation)


def sub(place: Place) -> Routine:
    """int8 difference of two tensors of one shape."""
    return _sum(place, -1, place.site.op(Sub).activation)


def _sum(place: Place, sign: int, activation: Activation) -> Routine:
    site = place.site
    a, b = two_alike(place)
    scales = float(site.scale(a)), float(site.scale(b))
    scaled = int(scales[1] < scales[0])
    half = 1 - scaled
    twice = 2 * scales[half]
    inner = multiplier(scales[scaled] / twice)
    outer = multiplier(twice / (2**_BITS * float(site.scale(site.output))))
    if outer.shifts > 0:
        raise site.error("an output scale this small is not served here")
    low, high = activation_range(site, activation)
    zeros = site.zero_point(a), site.zero_point(b)
    factor = 2 ** (_BITS - 1) * (sign if half == 1 else 1)
    mode = SIGNED if low < site.zero_point(site.output) and outer.shifts < 0 else 0
    mode |= CLAMPED if low > -128 or high < 127 else 0
    mode |= _SHIFTED if inner.shifts < 0 else 0
    mode |= _SUBTRACTED if scaled == 1 and sign < 0 else 0
    rows = rows_literal(_turned(place) if scaled else place)
    values = (
        -zeros[scaled] * 2**_BITS,
        int(inner.values),
        int(inner.shifts),
        -zeros[half] * factor,
        int(outer.values),
        int(outer.shifts),
        site.zero_point(site.output),
        factor,
        low,
        high,
    )
    return Routine(
        includes=("mve/add.h",),
        body=f"static const marram_mve_sum sum = {{{rows.removeprefix('((marram_rows)').removesuffix(')')}, "
        f"{', '.join(map(str, values))}}};\n"
        f"marram_mve_add_{mode}(&sum, x{scaled}, x{half}, y0, row_begin, row_end);",
        windows=(POINTWISE, POINTWISE),
        columns=(POINTWISE, POINTWISE),
        traversal="elements",
        instructions=4.5 * site.output.size,
    )


def _turned(place: Place) -> Place:
    """The place with its inputs' rows the other way round."""
    return msgspec.structs.replace(place, in_rows=place.in_rows[::-1])
