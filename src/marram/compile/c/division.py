"""Quotients of small sums as one multiplication: constants found at build time and proven on every sum."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.core.graph import Array

_NUDGES = (0, 1, -1, 2, -2, 3, -3)


class LinearMap(msgspec.Struct, frozen=True, kw_only=True):
    """``clamp((sum * factor + offset) >> shift)``, all in int32."""

    factor: int
    offset: int
    shift: int


def linear_map(sums: Array, truth: Array, slope: float, low: int, high: int) -> LinearMap | None:
    """Constants that give the truth for all sums, or None where none were found.

    Args:
        sums: all sums there can be, int64.
        truth: the output for each.
        slope: about what an output grows by with a sum.
        low: of the clamp.
        high: of the clamp.
    """
    above, below = truth > low, truth < high
    for shift in range(30, 0, -1):
        for nudge in _NUDGES:
            factor = round(slope * 2.0**shift) + nudge
            products = sums * factor
            if np.abs(products).max() >= 2**31:
                break
            floor = (truth << shift) - products
            least = int(floor.max(initial=-(2**31) + 1, where=above))
            most = int(floor.min(initial=2**31, where=below)) + (1 << shift) - 1
            offset = (least + min(most, 2**31 - 1)) // 2
            if least <= most and np.abs(products + offset).max() < 2**31 and abs(offset) < 2**31:
                return LinearMap(factor=factor, offset=offset, shift=shift)
    return None
