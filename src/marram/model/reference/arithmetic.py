"""Requantisation: a real scale as an integer multiplier and a shift, and its product with an integer, doubly rounded.

Specification: ``QuantizeMultiplier`` (quantization_util.cc), ``MultiplyByQuantizedMultiplier`` (common.cc, the double
rounding form), ``CalculateActivationRangeQuantized`` (kernel_util.cc) of TensorFlow Lite Micro, and gemmlowp's
``SaturatingRoundingDoublingHighMul`` and ``RoundingDivideByPOT``. All functions take and give int64 arrays that hold
int32 values, except where said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from marram.core.graph import Array, Tensor
from marram.core.operators import Activation
from marram.model.reference.site import Site

INT32_MIN = -(2**31)
INT32_MAX = 2**31 - 1
Integers = Array | int

_LIMITS: dict[Activation, tuple[float | None, float | None]] = {
    "none": (None, None),
    "relu": (0.0, None),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
}


class Multiplier(msgspec.Struct, frozen=True, kw_only=True):
    """Real factors as ``value * 2**(shift - 31)``; both int64, scalar arrays or one for each channel."""

    values: Array
    shifts: Array


def round_away(value: float) -> int:
    """The nearest integer, halves away from zero (``std::round``)."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def quantise_multiplier(real: float) -> tuple[int, int]:
    """A factor as (integer of 31 fractional bits, power of two). ``QuantizeMultiplier``.

    Args:
        real: any finite factor; below 2**-32 in magnitude it becomes (0, 0).
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    value = round_away(fraction * 2.0**31)
    if abs(value) == 2**31:
        value //= 2
        shift += 1
    return (0, 0) if shift < -31 else (value, shift)


def multiplier(reals: float | Sequence[float]) -> Multiplier:
    """The multiplier of one factor, or of one for each channel."""
    if isinstance(reals, Sequence):
        pairs = np.array([quantise_multiplier(real) for real in reals], np.int64).reshape(-1, 2)
        return Multiplier(values=pairs[:, 0], shifts=pairs[:, 1])
    value, shift = quantise_multiplier(reals)
    return Multiplier(values=np.array(value, np.int64), shifts=np.array(shift, np.int64))


def wrap32(values: Array) -> Array:
    """Two's complement wrap to 32 bits, kept in int64."""
    return values.astype(np.int32).astype(np.int64)


def high_mul(a: Array, b: Integers) -> Array:
    """``SaturatingRoundingDoublingHighMul``: round(a * b / 2**31), halves up; only min * min saturates."""
    products: Array = a * b
    return np.asarray(np.minimum((products + (1 << 30)) >> 31, INT32_MAX))


def divide_by_power(values: Array, exponent: Integers) -> Array:
    """``RoundingDivideByPOT``: round(x / 2**exponent), halves away from zero. ``exponent`` may differ by element."""
    power = np.asarray(exponent, np.int64)
    half = np.where(power > 0, np.int64(1) << np.maximum(power - 1, 0), 0)
    away = np.where(power > 0, values >> 63, 0)
    return np.asarray((values + half + away) >> power, np.int64)


def multiply(values: Array, by: Multiplier) -> Array:
    """``MultiplyByQuantizedMultiplier`` with double rounding: int64 array of int32 values, broadcast over the last axis."""
    left = np.maximum(by.shifts, 0)
    shifted = wrap32(values << left) if left.any() else values
    return divide_by_power(high_mul(shifted, by.values), np.maximum(-by.shifts, 0))


def multiply_wide(values: Array, by: Multiplier) -> Array:
    """``MultiplyByQuantizedMultiplier`` of a 64-bit accumulator: 16-bit multiplier, one rounding, halves up."""
    reduced = np.where(by.values < 0x7FFF0000, (by.values + (1 << 15)) >> 16, 0x7FFF)
    shift = 15 - by.shifts
    return wrap32((values * reduced + (np.int64(1) << (shift - 1))) >> shift)


def integer_range(tensor: Tensor) -> tuple[int, int]:
    """The least and greatest value of the tensor's dtype."""
    info = np.iinfo(tensor.dtype)
    return int(info.min), int(info.max)


def quantised(real: float, scale: np.float32, zero_point: int) -> int:
    """A real number on an affine scale, halves away from zero; float32 division, not clamped."""
    return zero_point + round_away(float(np.float32(real) / scale))


def activation_range(site: Site, activation: Activation) -> tuple[int, int]:
    """The integers between which the output is clamped. ``CalculateActivationRangeQuantized``."""
    low, high = integer_range(site.output)
    scale, zero_point = site.scale(site.output), site.zero_point(site.output)
    least, greatest = _LIMITS[activation]
    low = low if least is None else max(low, quantised(least, scale, zero_point))
    high = high if greatest is None else min(high, quantised(greatest, scale, zero_point))
    return low, high


def clamp_float(values: Array, activation: Activation) -> Array:
    """The fused activation on reals, in place."""
    least, greatest = _LIMITS[activation]
    if least is not None or greatest is not None:
        np.clip(values, least, greatest, out=values)
    return values


def rescaler(
    by: Multiplier, *, bias: Array | None, zero_point: int, low: int, high: int, dtype: np.dtype[np.signedinteger]
) -> Callable[[Array], Array]:
    """A function from exact accumulators (..., channels), of any float or integer dtype, to clamped integers.

    It computes ``clamp(multiply(accumulator + bias, by) + zero_point)``. Where no factor shifts left, the two
    roundings are one shift of a 64-bit product: with ``p = a * m + 2**30`` and ``k = 2**(s - 1) - (p < 0)`` the doubly
    rounded result is ``floor((p + k * 2**31) / 2**(31 + s))``, as a floor of a floor is the floor of the quotient.
    Where the clamp cuts everything negative, the correction by ``p < 0`` is without effect and left out.
    """
    addend = np.zeros((), np.int64) if bias is None else bias.astype(np.int64)
    if (by.shifts > 0).any():

        def general(accumulators: Array) -> Array:
            summed = wrap32(accumulators.astype(np.int64) + addend)
            return np.asarray(np.clip(multiply(summed, by) + zero_point, low, high), dtype)

        return general
    right = -by.shifts
    total = 31 + right
    nudged = right > 0
    first = addend * by.values + (1 << 30)
    second = np.where(nudged, np.int64(1) << (total - 1), 0)
    correction = np.where(nudged, np.int64(-(1 << 31)), 0)
    needs_correction = low < zero_point
    both = first + second

    def fused(accumulators: Array) -> Array:
        products = accumulators.astype(np.int64)
        products *= by.values
        if needs_correction:
            products += first
            sign = products >> 63
            sign &= correction
            products += sign
            products += second
        else:
            products += both
        products >>= total
        products += zero_point
        return np.asarray(np.clip(products, low, high, out=products), dtype)

    return fused
