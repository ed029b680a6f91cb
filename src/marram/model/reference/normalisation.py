"""Batch norm (floats) and layer norm (floats and integers).

Integer layer norm is outside TFLM; this is its definition, in integers alone. For a row of C inputs x (int8; the zero
point cancels), with S = sum(x) and d = C * x - S:

1. V = (C * sum(x**2) - S**2) * 4**f + E, an int64, where E = round(epsilon * (C / input scale)**2 * 4**f), at least 1, and
   f <= 15 is the greatest that keeps V below 2**61. So the normalised value is d * 2**f / sqrt(V).
2. V * 4**j lies in [2**60, 2**62) for one j; r = min(2**61 // isqrt(V * 4**j), 2**31 - 1), so r * 2**(j - 61) is 1 / sqrt(V).
3. n = d * r * 2**(f + j - 51), by ``MultiplyByQuantizedMultiplier`` with r and the shift f + j - 20: the normalised value
   with ``NORMALISED_BITS`` = 10 fractional bits.
4. output = (n * gamma + beta), requantised with gamma scale * 2**-10 / output scale, plus the zero point, clamped; gamma is
   int16 and beta int32 on gamma's scale * 2**-10 (``integer_affine`` makes both from reals).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from marram.core.graph import Array
from marram.core.operators import BatchNorm, LayerNorm
from marram.model.reference.arithmetic import (
    INT32_MAX,
    Multiplier,
    integer_range,
    multiplier,
    multiply,
    rescaler,
)
from marram.model.reference.lookup import need_int8
from marram.model.reference.site import Kernel, Site

NORMALISED_BITS = 10
_MOST_CHANNELS = 1 << 16
_MOST_FRACTION_BITS = 15


def batch_norm_float(site: Site) -> Kernel:
    """Float32 normalisation by running statistics."""
    gamma, beta, mean, variance = (site.constant(index) for index in range(1, 5))
    factor = gamma / np.sqrt(variance + np.float32(site.op(BatchNorm).epsilon))
    return lambda x, *_: ((x - mean) * factor + beta,)


def layer_norm_float(site: Site) -> Kernel:
    """Float32 normalisation over the last axis; its statistics in float64."""
    gamma, beta = site.constant(1), site.constant(2)
    epsilon = site.op(LayerNorm).epsilon

    def kernel(x: Array, *_: Array) -> tuple[Array, ...]:
        mean = x.mean(axis=-1, keepdims=True, dtype=np.float64)
        centred = x - mean
        variance = (centred**2).mean(axis=-1, keepdims=True)
        normalised = centred / np.sqrt(variance + epsilon)
        return ((normalised * gamma + beta).astype(np.float32),)

    return kernel


def integer_affine(gamma: Array, beta: Array) -> tuple[Array, Array, float]:
    """Gamma and beta of an integer layer norm from reals.

    Args:
        gamma: float32 (C).
        beta: float32 (C).

    Returns:
        gamma int16 (C), beta int32 (C), gamma's scale. Both are halves away from zero; the scale is the finest float32
        at which no row of C inputs can overflow 32 bits.
    """
    channels = len(gamma)
    # |n| <= sqrt(C - 1) * 2**10 (+ 1 for rounding) bounds |n * gamma + beta|.
    normalised = (math.isqrt(channels) + 1) * 2.0**NORMALISED_BITS
    reals_gamma, reals_beta = gamma.astype(np.float64), beta.astype(np.float64)
    peak = np.abs(reals_gamma).max(initial=0.0)
    sums = (np.abs(reals_gamma) * normalised + np.abs(reals_beta) * 2.0**NORMALISED_BITS).max(initial=0.0)
    scale = float(np.float32(max(peak / 32766, sums / (INT32_MAX - 2**16), 1e-30)))
    scaled_gamma = _rounded(reals_gamma / scale).astype(np.int16)
    return scaled_gamma, _rounded(reals_beta * 2.0**NORMALISED_BITS / scale).astype(np.int32), scale


def _rounded(values: Array) -> Array:
    return np.asarray(np.trunc(values + np.copysign(0.5, values)))


def integer_square_root(values: Array) -> Array:
    """floor(sqrt(x)) of int64 values in [0, 2**62]."""
    root = np.sqrt(values.astype(np.float64)).astype(np.int64)
    root -= root * root > values
    root += (root + 1) * (root + 1) <= values
    return root


def inverse_square_root(values: Array) -> Multiplier:
    """1 / sqrt(x) of int64 values in [1, 2**62) as multipliers (step 2 above), each of relative error below 2**-29."""
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    # frexp may round up to the next power of two: the product below stays within its bounds, but for values near 2**62.
    power = np.maximum((62 - bits) // 2, 0)
    root = integer_square_root(values << (2 * power))
    return Multiplier(values=np.minimum((1 << 61) // root, INT32_MAX), shifts=power - 30)


def variance_floor(channels: int, scale: float, epsilon: float) -> tuple[int, int]:
    """The numbers f and E of step 1, for inputs of that many channels and that scale."""
    real = Fraction(epsilon) * (Fraction(channels) / Fraction(scale)) ** 2
    greatest = (channels * 255) ** 2 // 4
    for bits in range(_MOST_FRACTION_BITS, -1, -1):
        floor = max(1, round(real * 4**bits))
        if (greatest << (2 * bits)) + floor < 2**61:
            return bits, floor
    # Epsilon outweighs every variance: all normalised values round to 0.
    return 0, 2**61 - 1 - greatest


def layer_norm_integer(site: Site) -> Kernel:
    """Integer layer norm, as the module's docstring defines it. Gamma and beta are float32 constants or already integer."""
    need_int8(_without_affine(site))
    channels = site.input(0).shape[-1]
    if channels > _MOST_CHANNELS:
        raise site.error(f"integer layer norm takes at most {_MOST_CHANNELS} channels, got {channels}")
    gamma, beta, scale = affine_of(site)
    fraction, floor = variance_floor(channels, float(site.scale(site.input(0))), site.op(LayerNorm).epsilon)
    low, high = integer_range(site.output)
    finish = rescaler(
        multiplier(scale * 2.0**-NORMALISED_BITS / float(site.scale(site.output))),
        bias=beta,
        zero_point=site.zero_point(site.output),
        low=low,
        high=high,
        dtype=np.dtype(np.int8),
    )

    def kernel(x: Array, *_: Array) -> tuple[Array, ...]:
        wide = x.astype(np.int64)
        total = wide.sum(axis=-1, keepdims=True)
        spread = channels * (wide * wide).sum(axis=-1, keepdims=True) - total * total
        by = inverse_square_root((spread << (2 * fraction)) + floor)
        by = Multiplier(values=by.values, shifts=by.shifts + fraction + NORMALISED_BITS)
        return (finish(multiply(channels * wide - total, by) * gamma),)

    return kernel


def _without_affine(site: Site) -> Site:
    return Site(
        graph_name=site.graph_name, node=site.node, inputs=site.inputs[:1], outputs=site.outputs, constants=site.constants[:1]
    )


def affine_of(site: Site) -> tuple[Array, Array, float]:
    """Gamma and beta of a layer norm as integers, int64 (C), and gamma's scale."""
    gamma, beta = site.constant(1), site.constant(2)
    if gamma.dtype == np.float32 and beta.dtype == np.float32:
        small, wide, scale = integer_affine(gamma, beta)
        return small.astype(np.int64), wide.astype(np.int64), scale
    if gamma.dtype in {np.dtype(np.int8), np.dtype(np.int16)} and beta.dtype == np.int32:
        return gamma.astype(np.int64), beta.astype(np.int64), float(site.scale(site.input(1)))
    raise site.error(f"gamma and beta must be float32, or int16 and int32, got {gamma.dtype} and {beta.dtype}")
