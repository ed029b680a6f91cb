"""A requantised sum of two int8 as one linear form: constants found at build time and proven on all 65,536 pairs of inputs.

TensorFlow Lite rescales each input, adds and rescales the sum: three doubly rounded products. Its result is almost that of
``(first * a + second * b + offset) >> shift``; whether some constants near the real factors give it exactly is decided here by
comparing every pair.
"""

from __future__ import annotations

import math
from itertools import product

import msgspec
import numpy as np

from marram.core.graph import Array

_INPUTS = np.arange(-128, 128, dtype=np.int64)
_NEIGHBOURS = sorted(product((0, 1, -1, 2, -2, 4, -4, 8, -8), repeat=2), key=lambda pair: abs(pair[0]) + abs(pair[1]))

_OUTWARD = (512, 1024, 2048, 4096)
"""A little more of both makes halves round away from zero, against what the products lose."""


class LinearSum(msgspec.Struct, frozen=True, kw_only=True):
    """``clamp((((first * a) >> p) + ((second * b) >> p) + offset) >> shift)`` for int8 a, b; every sum fits int32."""

    first: int
    second: int
    offset: int
    shift: int


def linear_sum(truth: Array, factors: tuple[float, float], low: int, high: int, *, dropped: int) -> LinearSum | None:
    """Constants that give ``truth``, or None where none were found.

    Args:
        truth: int8 (256, 256), clamped outputs for a and b in -128..127.
        factors: of a and b, signs included, in units of the output.
        low: of the clamp.
        high: of the clamp.
        dropped: ``p``, the low bits of each product that the instruction drops: 0 of a 32-bit product, 8 where the high 32 of
            40 bits are kept.
    """
    reach = sum(abs(factor) for factor in factors) * 256 + 256
    shift = min(math.floor(math.log2(2**31 / reach)) - 1, 28)
    scaled = [factor * 2.0 ** (shift + dropped) for factor in factors]
    if shift < 1 or max(map(abs, scaled)) >= 2**31 - 16:
        return None
    wide = truth.astype(np.int64)
    above, below = wide > low, wide < high
    outward = [(math.copysign(size, factors[0]), math.copysign(size, factors[1])) for size in _OUTWARD]
    for nudges in (*_NEIGHBOURS, *outward):
        first, second = (round(factor) + round(nudge) for factor, nudge in zip(scaled, nudges, strict=True))
        sums = (first * _INPUTS >> dropped)[:, None] + (second * _INPUTS >> dropped)[None, :]
        floor = (wide << shift) - sums
        least = int(floor.max(initial=-(2**31) + 1, where=above))
        most = int(floor.min(initial=2**31, where=below)) + (1 << shift) - 1
        offset = (least + min(most, 2**31 - 1)) // 2
        if (
            least <= most
            and int(np.abs(sums).max()) + abs(offset) < 2**31
            and abs(offset) + 128 * abs(first >> dropped) < 2**31
        ):
            return LinearSum(first=first, second=second, offset=offset, shift=shift)
    return None
