"""Operators of one int8 input, elementwise, with Helium: a table of 256 outputs, read by gathers."""

from __future__ import annotations

import msgspec

from marram.compile.c.geometry import rows_literal
from marram.compile.c.kernels.portable.table import table as portable_table
from marram.compile.c.place import Place, Routine


def table(place: Place) -> Routine:
    """Any elementwise operator from int8 to int8: the portable routine with another kernel."""
    rows = rows_literal(place).removeprefix("((marram_rows)").removesuffix(")")
    return msgspec.structs.replace(
        portable_table(place),
        includes=("mve/table.h",),
        body=f"static const marram_rows rows = {rows};\nmarram_mve_table(&rows, x0, y0, row_begin, row_end, @table@);",
        instructions=0.3 * place.site.output.size,
    )
