"""Scales of weights of few bits: for each output channel the one whose integers leave the least squared error.

The largest weights are cut: of 15 or of 3 levels, finer steps for the many are worth more than room for the few. Sources:
Nagel et al., A White Paper on Neural Network Quantization, 2021, section 3.1 (mean squared error); Li and Liu, Ternary Weight
Networks, 2016 (the scale that is best for given integers).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from marram.core.graph import Array

_FRACTIONS = np.geomspace(1.4, 0.1, 120)
_REFITS = 3


def least_squares(weights: Array, *, axis: int | None, limit: Array) -> Array:
    """The scales of the least squared error: float64 (channels,), or (1,) without an axis.

    Every channel tries scales from its peak downwards; each candidate is then fitted to the integers that it gives, and these
    to it, a few times over.

    Args:
        weights: real values.
        axis: of the channels; None for one scale for all weights.
        limit: the greatest magnitude of an integer: one number, or one for each channel. Channels of 127 keep their peaks.
    """
    rows = weights.reshape(1, -1) if axis is None else np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    most = np.broadcast_to(limit, len(rows)).astype(np.float64)
    return _searched(np.ascontiguousarray(rows, np.float64).tobytes(), most.tobytes()).copy()


@lru_cache(maxsize=32)  # a search over precisions asks for the same layer many times
def _searched(values: bytes, limits: bytes) -> Array:
    """As ``least_squares``, of float64 (channels, weights of one) and (channels,)."""
    most = np.frombuffer(limits)
    rows = np.frombuffer(values).reshape(len(most), -1)
    peaks = np.abs(rows).max(axis=1) / most
    best, least = peaks.copy(), _error(rows, peaks, most)
    for fraction in _FRACTIONS:
        scales = fraction * peaks
        for _ in range(_REFITS):
            error = _error(rows, scales, most)
            better = (error < least) & (most < 127)
            best, least = np.where(better, scales, best), np.where(better, error, least)
            scales = _fitted(rows, scales, most)
    return np.asarray(best)


def _whole(rows: Array, scales: Array, most: Array) -> Array:
    safe = np.maximum(scales, float(np.finfo(np.float64).tiny))[:, None]
    return np.asarray(np.clip(np.round(rows / safe), -most[:, None], most[:, None]))


def _error(rows: Array, scales: Array, most: Array) -> Array:
    """Squared error of each row: (channels,)."""
    return np.asarray(((rows - _whole(rows, scales, most) * scales[:, None]) ** 2).sum(axis=1))


def _fitted(rows: Array, scales: Array, most: Array) -> Array:
    """The scales of the least squared error for the integers that given scales make."""
    whole = _whole(rows, scales, most)
    power = (whole**2).sum(axis=1)
    return np.asarray(np.where(power > 0, (rows * whole).sum(axis=1) / np.maximum(power, 1.0), scales))
