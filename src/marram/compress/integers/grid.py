"""Grid: the arithmetic between real numbers and the integers that stand for them.

Source of every rule: TensorFlow Lite 8-bit quantisation specification (``real = scale * (q - zero_point)``, weights
symmetric in [-127, 127], bias int32 with the scales of input times weights), and its 16x8 scheme (activations int16 with
zero point 0, bias int64). Weights of 4 and 2 bits lie in [-7, 7] and [-1, 1]. Scales are float32 values.
"""

from __future__ import annotations

import numpy as np

from marram.compress.integers.weight_scales import least_squares
from marram.core.graph import Array, Quantisation

SMALLEST_SCALE = 2.0**-40
"""No scale is smaller, so that products of two scales stay normal float32 numbers."""
BIAS_LIMIT = 2.0**30
"""The greatest bias beside int8 activations."""
WIDE_BIAS_LIMIT = 2.0**44
"""The greatest bias beside int16 activations: kernels multiply accumulators below 2**47."""
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


def symmetric(low: float, high: float) -> Quantisation:
    """The int16 quantisation of zero point 0 that spans low to high; a range that is only zero becomes -1 to 1."""
    reach = max(-low, high) or 1.0
    return Quantisation(scales=(float32(max(reach / 32767, SMALLEST_SCALE)),), zero_points=(0,))


def greatest(bits: Array | int) -> Array:
    """The greatest magnitude of a symmetric weight of so many bits: 127, 7, 1; an array for an array."""
    return np.asarray((1 << (np.asarray(bits) - 1)) - 1)


def symmetric_weights(
    weights: Array,
    bias: Array | None,
    *,
    axis: int | None,
    input_scale: float,
    output_scale: float = 0.0,
    bits: Array | int = 8,
    bias_limit: float = BIAS_LIMIT,
) -> Quantisation:
    """The quantisation of a layer's weights: for each channel along ``axis`` the largest magnitude becomes 127.

    Of fewer than 8 bits a channel has the scale of the least squared error instead, which cuts its largest weights
    (``weight_scales.least_squares``). A channel's scale is raised where its bias would pass the limit, and where its
    products would fall below 2**-20 of an output step, which keeps channels of zeros and nearly zeros in the range of every
    kernel's shift.

    Args:
        weights: real values.
        bias: real values, None where the layer has none.
        axis: of the output channels; None for one scale.
        input_scale: of the layer's input.
        output_scale: of its output; 0 where it is not known yet.
        bits: 8, 4 or 2, one number or one for each channel.
        bias_limit: the greatest integer of a bias.
    """
    others = tuple(other for other in range(weights.ndim) if other != axis)
    peaks = np.abs(weights.astype(np.float64)).max(axis=others if axis is not None else None)
    magnitude = np.zeros(1) if bias is None else np.abs(bias.astype(np.float64))
    largest = magnitude if axis is not None else magnitude.max()
    floors = np.maximum(largest / (input_scale * bias_limit), output_scale / input_scale * _FINEST_WEIGHT)
    wanted = peaks / 127 if np.all(np.asarray(bits) == 8) else least_squares(weights, axis=axis, limit=greatest(bits))
    scales = np.atleast_1d(np.maximum(np.maximum(wanted, floors), SMALLEST_SCALE)).astype(np.float32)
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


def to_integers(values: Array, quantisation: Quantisation, *, dtype: str = "int8", most: Array | int | None = None) -> Array:
    """Real values as the nearest integers of a quantisation, clamped to the dtype.

    ``most`` is the greatest magnitude instead: of weights, one number or one for each index along the axis.
    """
    scales, zeros = _along_axis(quantisation, values)
    limits = np.iinfo(dtype)
    low, high = np.array(limits.min), np.array(limits.max)
    if most is not None:
        high = np.asarray(most).reshape(-1, *(1,) * (values.ndim - 1 - (quantisation.axis or 0)))
        low = -high
    rounded = np.round(values.astype(np.float64) / scales) + zeros
    return np.clip(rounded, low, high).astype(dtype)


def to_reals(values: Array, quantisation: Quantisation) -> Array:
    """Integers of a quantisation as real values, float32."""
    scales, zeros = _along_axis(quantisation, values)
    return np.asarray((values.astype(np.float64) - zeros) * scales, np.float32)
