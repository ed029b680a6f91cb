"""From one scale to another where int16 is on one side or on both."""

from __future__ import annotations

from marram.compile.c.place import Place, Routine
from marram.model.reference.arithmetic import integer_range, multiplier


def quantise(place: Place) -> Routine:
    """int8 or int16 to int8 or int16."""
    site = place.site
    source, target = site.input(0), site.output
    if not {source.dtype, target.dtype} <= {"int8", "int16"}:
        raise site.error(f"quantise takes and gives int8 or int16 here, not {source.dtype} and {target.dtype}")
    by = multiplier(float(site.scale(source)) / float(site.scale(target)))
    if int(by.shifts) > 31:
        raise site.error("the factor is beyond 2**31")
    low, high = integer_range(target)
    pair = f"{source.dtype}_to_{target.dtype}"
    factor = f"{int(by.values)}, {int(by.shifts)}"
    return Routine(
        includes=("portable/int16/quantise.h",),
        body=f"marram_portable_quantise_{pair}(x0, y0, {target.size}, {site.zero_point(source)}, {factor}, "
        f"{site.zero_point(target)}, {low}, {high});",
        traversal="elements" if source.dtype == target.dtype else "whole",
        instructions=25.0 * target.size,
    )
