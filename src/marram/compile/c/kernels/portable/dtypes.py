"""Which of several makers serves a place: by the dtypes of its activations and the bits of its weights."""

from __future__ import annotations

from marram.compile.c.place import Maker, Place, Routine


def by_dtype(int8: Maker, int16: Maker) -> Maker:
    """A maker that hands places whose first input or output is int16 to ``int16``, all others to ``int8``."""

    def choose(place: Place) -> Routine:
        site = place.site
        return (int16 if "int16" in {site.input(0).dtype, site.output.dtype} else int8)(place)

    return choose


def by_weights(whole: Maker, packed: Maker) -> Maker:
    """A maker that hands places whose weights are to be packed to ``packed``, all others to ``whole``."""

    def choose(place: Place) -> Routine:
        return (whole if place.weight_bits == 8 else packed)(place)

    return choose
