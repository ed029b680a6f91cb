"""How few bits the weights of a layer fit."""

from __future__ import annotations

from marram.core.operators import Conv2D, Dense, DepthwiseConv2D
from marram.model.reference.site import Site

WIDTHS = (2, 4)


def fewest_weight_bits(site: Site) -> int:
    """2, 4 or 8: the least in which all weights of a layer lie, 8 where the node has no weights that can be packed."""
    if not isinstance(site.node.op, Conv2D | DepthwiseConv2D | Dense) or site.input(0).dtype != "int8":
        return 8
    weights = site.constant(1)
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    return next((bits for bits in WIDTHS if low >= -(1 << (bits - 1)) and high < 1 << (bits - 1)), 8)
