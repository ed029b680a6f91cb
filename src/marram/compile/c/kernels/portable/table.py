"""Operators of one int8 input, elementwise: a table of 256 outputs, made by the reference."""

from __future__ import annotations

import numpy as np

from marram.compile.c.geometry import rows_literal
from marram.compile.c.place import POINTWISE, ConstantArray, Place, Routine
from marram.model.reference.tables import kernel_of


def table(place: Place) -> Routine:
    """Any elementwise operator from int8 to int8."""
    site = place.site
    if site.input(0).dtype != "int8" or site.output.dtype != "int8":
        raise site.error("tables serve int8 only")
    (values,) = kernel_of(site)(np.concatenate([np.arange(128), np.arange(-128, 0)]).astype(np.int8))
    return Routine(
        includes=("portable/table.h",),
        body=f"marram_portable_table({rows_literal(place)}, x0, y0, row_begin, row_end, @table@);",
        constants=(ConstantArray(name="table", c_type="int8_t", values=values, align_bytes=1, role="table"),),
        windows=(POINTWISE,),
        columns=(POINTWISE,),
        traversal="elements",
        instructions=5.0 * site.output.size,
    )
