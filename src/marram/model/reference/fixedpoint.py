"""Exponential, reciprocal, logistic and tanh in 32-bit fixed point.

Specification: gemmlowp's ``fixedpoint.h`` and ``GetReciprocal`` of TFLM's common.h. "Qm" below is a number with m
integer bits, 31 - m fractional bits and a sign, held in int64 arrays.
"""

from __future__ import annotations

import numpy as np

from marram.core.graph import Array
from marram.model.reference.arithmetic import INT32_MAX, INT32_MIN, divide_by_power, high_mul

ONE = INT32_MAX
"""The greatest Q0 number, which stands for 1."""
_ONE_Q2 = 1 << 29
_EXP_MINUS_EIGHTH = 1895147668
_THIRD = 715827883
_NEWTON_CONSTANT = 1515870810  # 48/17 in Q2
_NEWTON_SLOPE = -1010580540  # -32/17 in Q2
_EXP_OF_MINUS_POWERS = (
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)


def shift_left(values: Array, bits: int) -> Array:
    """``SaturatingRoundingMultiplyByPOT`` with a positive power."""
    return np.asarray(np.clip(values << bits, INT32_MIN, INT32_MAX))


def _exp_near_zero(values: Array) -> Array:
    """Exp of Q0 numbers in [-1/4, 0): Taylor's polynomial of fourth degree around -1/8."""
    x = values + (1 << 28)
    square = high_mul(x, x)
    cube = high_mul(square, x)
    fourth = high_mul(square, square)
    tail = divide_by_power(high_mul(divide_by_power(fourth, 2) + cube, _THIRD) + square, 1)
    return _EXP_MINUS_EIGHTH + high_mul(x + tail, _EXP_MINUS_EIGHTH)


def exp_of_negative(values: Array, integer_bits: int) -> Array:
    """Exp of numbers <= 0 with ``integer_bits`` <= 5, as Q0. ``exp_on_negative_values``."""
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    last = (values & (quarter - 1)) - quarter
    result = _exp_near_zero(shift_left(last, integer_bits))
    rest = last - values
    for power, factor in _EXP_OF_MINUS_POWERS:
        if integer_bits > power:
            chosen = (rest & (1 << (fraction_bits + power))) != 0
            result = np.where(chosen, high_mul(result, factor), result)
    return np.where(values == 0, ONE, result)


def _newton_reciprocal(values: Array) -> Array:
    """2 / (1 + x) in Q2 for Q0 numbers x in (0, 1): three steps of Newton and Raphson."""
    half_denominator = (values + ONE + 1) >> 1
    x = _NEWTON_CONSTANT + high_mul(half_denominator, _NEWTON_SLOPE)
    for _ in range(3):
        error = _ONE_Q2 - high_mul(half_denominator, x)
        x = x + shift_left(high_mul(x, error), 2)
    return x


def reciprocal_of_one_plus(values: Array) -> Array:
    """1 / (1 + x) in Q0 for Q0 numbers x in (0, 1)."""
    return shift_left(_newton_reciprocal(values), 1)


def logistic(values: Array, integer_bits: int) -> Array:
    """1 / (1 + exp(-x)), as Q0."""
    of_magnitude = reciprocal_of_one_plus(exp_of_negative(-np.abs(values), integer_bits))
    signed = np.where(values > 0, of_magnitude, ONE - of_magnitude)
    return np.where(values == 0, 1 << 30, signed)


def tanh(values: Array, integer_bits: int) -> Array:
    """The hyperbolic tangent, as Q0; one more integer bit holds 2x."""
    of_exp = exp_of_negative(-np.abs(values), integer_bits + 1)
    of_magnitude = shift_left(_newton_reciprocal(of_exp) - _ONE_Q2, 2)
    return np.where(values == 0, 0, np.where(values < 0, -of_magnitude, of_magnitude))


def reciprocal(values: Array, integer_bits: int) -> tuple[Array, Array]:
    """1 / x of positive numbers: (Q0 number, power of two by which it is too large). ``GetReciprocal``."""
    # frexp gives the position of the leading one exactly, as int32 values are exact in float64.
    headroom_plus_one = 32 - np.frexp(values.astype(np.float64))[1].astype(np.int64)
    fraction = (values << headroom_plus_one) - (1 << 31)
    return reciprocal_of_one_plus(fraction), integer_bits - headroom_plus_one
