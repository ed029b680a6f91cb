"""Operators of one int8 input, elementwise, by the table that ``portable`` makes: four elements are loaded at once."""

from __future__ import annotations

import msgspec

from marram.compile.c.kernels.portable.table import table as portable_table
from marram.compile.c.place import Place, Routine


def table(place: Place) -> Routine:
    """Any elementwise operator from int8 to int8."""
    made = portable_table(place)
    return msgspec.structs.replace(
        made,
        includes=("dsp/table.h",),
        body=made.body.replace("marram_portable_table", "marram_dsp_table"),
        instructions=3.75 * place.site.output.size,
    )
