"""Weights of 4 bits as model files have them: two to a byte, the first in the lower half. ONNX and TFLite agree on this."""

from __future__ import annotations

import numpy as np

from marram.core.graph import Array


def fit(weights: Array) -> bool:
    """Whether integers are int8 and within 4 bits."""
    return weights.dtype == np.int8 and weights.size > 0 and int(weights.min()) >= -8 and int(weights.max()) <= 7


def packed(weights: Array) -> Array:
    """int8 values within 4 bits as bytes: uint8; the upper half of the last one is 0 where their number is odd."""
    flat = np.ascontiguousarray(weights).ravel().view(np.uint8) & 15
    padded = np.zeros(-(-flat.size // 2) * 2, np.uint8)
    padded[: flat.size] = flat
    return np.asarray(padded[::2] | (padded[1::2] << 4))
