"""Output channels whose result is the same for every input: found at build time, made by a record of their own.

Trained nets have them (channels that a relu has killed), often with scales so far from the others' that the arithmetic of the
living ones does not hold for them.
"""

from __future__ import annotations

import numpy as np

from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array
from marram.model.reference.arithmetic import Multiplier, multiply


def ends(by: Requantisation) -> tuple[Array, Array]:
    """The least and the greatest accumulator of each channel, int64 (O,): no input leads outside."""
    spread = by.reach - np.abs(by.bias)
    return by.bias - spread, by.bias + spread


def constant_channels(by: Requantisation) -> tuple[Array, Array]:
    """Which channels have one result only, bool (O,), and the int64 result of each, clamped; of no meaning for the others.

    The result grows with the accumulator, so equal results at both ends are the result everywhere.
    """
    first, last = (_results(end, by) for end in ends(by))
    return first == last, first


def _results(accumulators: Array, by: Requantisation) -> Array:
    values = multiply(accumulators, Multiplier(values=by.multiplier, shifts=by.shift)) + by.zero_point
    clamped: Array = np.clip(values, by.low, by.high)
    return clamped
