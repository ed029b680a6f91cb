"""Bias, multiplier and shift of each output channel as the portable kernels read them."""

from __future__ import annotations

import numpy as np

from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array


def channel_records(by: Requantisation) -> Array:
    """int32 (3 * O,): folded bias, multiplier, shift of each channel in turn."""
    return np.stack([by.bias, by.multiplier, by.shift], axis=1).ravel()
