"""Grid: the arithmetic between real numbers and the integers that stand for them.

Source of every rule: TensorFlow Lite 8-bit quantisation specification (``real = scale * (q - zero_point)``, weights
symmetric in [-127, 127], bias int32 with the scales of input times weights). Scales are float32 values.
"""

from __future__ import annotations

import numpy as np

from marram.core.graph import Array, Quantisation

SMALLEST_SCALE = 2.0**-40
"""No scale is smaller, so that products of two scales stay normal float32 numbers."""
_BIAS_LIMIT = 2.0**30
_FINEST_WEIGHT = 2.0**-20


def float32(value: float) -> float:
    """The float32 value nearest to ``value``, as a Python float."""
    return float(np.float32(value))


def affine(low: float, high: float) -> Quantisation:
    """The int8 quantisation that spans low to high and zero, with zero exact; a range that is only zero becomes 0 to 1."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0
    scale = float32(max((high - low) / 255, SMALLEST_SCALE))
    zero = int(np.clip(np.round(-128 - low / scale), -128, 127))
    return Quantisation(scales=(scale,), zero_points=(zero,))


def span(quantisation: Quantisation) -> tuple[float, float]:
    """The real values of -128 and 127 in a quantisation of one scale."""
    scale, zero = quantisation.scale, quantisation.zero_point
    return scale * (-128 - zero), scale * (127 - zero)


def coarsened(quantisation: Quantisation, scale: float) -> Quantisation:
    """The quantisation with at least this scale and the same zero point."""
    if quantisation.scale >= scale:
        return quantisation
    return Quantisation(scales=(float32(scale),), zero_points=quantisation.zero_points)


def symmetric_weights(
    weights: Array, bias: Array | None, *, axis: int | None, input_scale: float, output_scale: float = 0.0
) -> Quantisation:
    """The quantisation of a layer's weights: for each channel along ``axis`` the largest magnitude becomes 127.

    A channel's scale is raised where its bias would not fit into 30 bits, and where its products would fall below
    2**-20 of an output step, which keeps channels of zeros and nearly zeros in the range of every kernel's shift.
    """
    others = tuple(other for other in range(weights.ndim) if other != axis)
    peaks = np.abs(weights.astype(np.float64)).max(axis=others if axis is not None else None)
    magnitude = np.zeros(1) if bias is None else np.abs(bias.astype(np.float64))
    largest = magnitude if axis is not None else magnitude.max()
    floors = np.maximum(largest / (input_scale * _BIAS_LIMIT), output_scale / input_scale * _FINEST_WEIGHT)
    scales = np.atleast_1d(np.maximum(np.maximum(peaks / 127, floors), SMALLEST_SCALE)).astype(np.float32)
    return Quantisation(scales=tuple(map(float, scales)), zero_points=(0,) * scales.size, axis=axis)


def bias_scales(input_scale: float, weights: Quantisation) -> Quantisation:
    """The quantisation of a bias: the products of the input's scale and the weights', along the bias's only axis."""
    scales = tuple(float(np.float32(input_scale) * np.float32(scale)) for scale in weights.scales)
    return Quantisation(scales=scales, zero_points=(0,) * len(scales), axis=None if weights.axis is None else 0)


def _along_axis(quantisation: Quantisation, values: Array) -> tuple[Array, Array]:
    scales, zeros = np.array(quantisation.scales), np.array(quantisation.zero_points, np.float64)
    if quantisation.axis is None:
        return scales, zeros
    shape = [1] * values.ndim
    shape[quantisation.axis] = -1
    return scales.reshape(shape), zeros.reshape(shape)


def to_integers(values: Array, quantisation: Quantisation, *, dtype: str = "int8", lowest: int | None = None) -> Array:
    """Real values as the nearest integers of a quantisation, clamped to the dtype, or to ``lowest`` at its lower end."""
    scales, zeros = _along_axis(quantisation, values)
    limits = np.iinfo(dtype)
    rounded = np.round(values.astype(np.float64) / scales) + zeros
    return np.clip(rounded, limits.min if lowest is None else lowest, limits.max).astype(dtype)


def to_reals(values: Array, quantisation: Quantisation) -> Array:
    """Integers of a quantisation as real values, float32."""
    scales, zeros = _along_axis(quantisation, values)
    return np.asarray((values.astype(np.float64) - zeros) * scales, np.float32)
