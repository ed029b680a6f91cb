"""Which of two makers serves a place: the one for int8 alone, or the one for places with int16."""

from __future__ import annotations

from marram.compile.c.place import Maker, Place, Routine


def by_dtype(int8: Maker, int16: Maker) -> Maker:
    """A maker that hands places whose first input or output is int16 to ``int16``, all others to ``int8``."""

    def choose(place: Place) -> Routine:
        site = place.site
        return (int16 if "int16" in {site.input(0).dtype, site.output.dtype} else int8)(place)

    return choose
