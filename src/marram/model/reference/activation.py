"""Activations of one input, floats and integers; the integer ones are tables of 256 entries."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from marram.core.graph import Array
from marram.core.operators import Gelu, LeakyRelu
from marram.model.reference import fixedpoint
from marram.model.reference.arithmetic import (
    Multiplier,
    divide_by_power,
    integer_range,
    multiplier,
    multiply,
    quantised,
    round_away,
)
from marram.model.reference.lookup import unary
from marram.model.reference.site import Kernel, Site

_GRID_STEPS = 4096
_GRID_END = 6.0


def relu_float(site: Site) -> Kernel:
    """max(x, 0)."""
    del site
    return lambda x: (np.maximum(x, np.float32(0)),)


def relu6_float(site: Site) -> Kernel:
    """min(max(x, 0), 6)."""
    del site
    return lambda x: (np.clip(x, np.float32(0), np.float32(6)),)


def leaky_relu_float(site: Site) -> Kernel:
    """Where x is negative, alpha * x."""
    alpha = np.float32(site.op(LeakyRelu).alpha)
    return lambda x: (np.where(x > 0, x, x * alpha),)


def hard_swish_float(site: Site) -> Kernel:
    """The gate relu6(x + 3) / 6 times x."""
    del site
    return lambda x: (x * np.clip(x + np.float32(3), np.float32(0), np.float32(6)) / np.float32(6),)


def logistic_values(x: Array) -> Array:
    """1 / (1 + exp(-x)) of floats, without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small), x.dtype)


def sigmoid_float(site: Site) -> Kernel:
    """1 / (1 + exp(-x))."""
    del site
    return lambda x: (logistic_values(x),)


def tanh_float(site: Site) -> Kernel:
    """The hyperbolic tangent."""
    del site
    return lambda x: (np.tanh(x),)


def error_function() -> Callable[[Array], Array]:
    """The error function of arrays, within 1e-11: Hermite's cubic between exact values at 4,097 points of [-6, 6]."""
    points = np.linspace(-_GRID_END, _GRID_END, _GRID_STEPS + 1)
    step = points[1] - points[0]
    values = np.array([math.erf(point) for point in points])
    slopes = 2 / math.sqrt(math.pi) * np.exp(-(points**2)) * step

    def erf(x: Array) -> Array:
        place = (np.clip(x.astype(np.float64), -_GRID_END, _GRID_END) + _GRID_END) / step
        left = np.minimum(place.astype(np.int64), _GRID_STEPS - 1)
        t = place - left
        rise = values[left + 1] - values[left]
        start, end = slopes[left], slopes[left + 1]
        bend = t * (1 - t) * ((1 - t) * (start - rise) - t * (end - rise))
        return np.asarray(values[left] + t * rise + bend)

    return erf


def gelu_float(site: Site) -> Kernel:
    """The product x * Phi(x), evaluated in float64, or its tanh form."""
    if site.op(Gelu).approximate:
        return lambda x: (_gelu_tanh(x.astype(np.float64)).astype(np.float32),)
    erf = error_function()
    return lambda x: ((x * (0.5 + 0.5 * erf(x * math.sqrt(0.5)))).astype(np.float32),)


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def _rescaled(site: Site, by: Multiplier, x: Array) -> Array:
    """(x - input zero point) by a multiplier, plus the output's zero point; not clamped."""
    return multiply(x - site.zero_point(site.input(0)), by) + site.zero_point(site.output)


def _clamped_rescale(site: Site, greatest: float | None) -> Kernel:
    """Requantisation, clamped below at real 0 and above at a real."""
    scale, zero_point = site.scale(site.output), site.zero_point(site.output)
    by = multiplier(float(site.scale(site.input(0))) / float(scale))
    low, high = integer_range(site.output)
    low = max(low, zero_point)
    high = high if greatest is None else min(high, quantised(greatest, scale, zero_point))
    return unary(site, lambda x: np.clip(_rescaled(site, by, x), low, high))


def relu_integer(site: Site) -> Kernel:
    """Integer relu, which may rescale. Specification: ``ReluQuantized``."""
    return _clamped_rescale(site, None)


def relu6_integer(site: Site) -> Kernel:
    """Integer relu6. Specification: ``Relu6Quantized`` where the scales are equal; it may rescale as relu does."""
    return _clamped_rescale(site, 6.0)


def leaky_relu_integer(site: Site) -> Kernel:
    """Integer leaky relu, its factors in double. Specification: ``reference_ops::QuantizeLeakyRelu``."""
    scale_in, scale_out = float(site.scale(site.input(0))), float(site.scale(site.output))
    positive = multiplier(scale_in / scale_out)
    negative = multiplier(scale_in * float(np.float32(site.op(LeakyRelu).alpha)) / scale_out)
    zero_point = site.zero_point(site.input(0))
    low, high = integer_range(site.output)

    def rule(x: Array) -> Array:
        chosen = np.where(x >= zero_point, _rescaled(site, positive, x), _rescaled(site, negative, x))
        return np.clip(chosen, low, high)

    return unary(site, rule)


def _multiplier16(real: float) -> tuple[int, int]:
    """A factor as (integer of 15 fractional bits, power of two). ``DownScaleInt32ToInt16Multiplier``."""
    by = multiplier(real)
    return min((int(by.values) + (1 << 15)) >> 16, 0x7FFF), int(by.shifts)


def _clip16(values: Array) -> Array:
    return np.clip(values, -(1 << 15), (1 << 15) - 1)


def _wrap16(values: Array) -> Array:
    return values.astype(np.int16).astype(np.int64)


def _divide16(values: Array, exponent: int) -> Array:
    """``RoundingDivideByPOT`` on int16, whose mask overflows beyond 15 bits: the quotient is then 1 or -1."""
    return divide_by_power(values, exponent) if exponent < 16 else np.where(values >= 0, 1, -1)


def hard_swish_integer(site: Site) -> Kernel:
    """Integer hard swish in 16-bit fixed point. Specification: ``reference_ops::HardSwish``."""
    fine = float(site.scale(site.input(0))) / 128
    factor_out, power_out = _multiplier16(fine / float(site.scale(site.output)))
    factor_gate, power_gate = _multiplier16(fine / (3 / 32768))
    if power_out > 0:
        raise site.error("the output scale is below 1/128 of the input scale")
    zero_in, zero_out = site.zero_point(site.input(0)), site.zero_point(site.output)
    low, high = integer_range(site.output)

    def rule(x: Array) -> Array:
        value = _wrap16((x - zero_in) << 7)
        on_output_scale = (value * factor_out + (1 << 14)) >> 15
        gate = _clip16(value << max(power_gate - 1, 0))
        gate = (gate * factor_gate + (1 << 14)) >> 15
        gate = _clip16(gate << 1) if power_gate > 0 else _divide16(gate, -power_gate)
        gate = (gate + (1 << 15)) >> 1
        product = gate * on_output_scale
        before_shift = np.sign(product) * (np.abs(product) >> 15)
        return np.clip(_wrap16(_divide16(before_shift, -power_out) + zero_out), low, high)

    return unary(site, rule)


def _need_output(site: Site, scale: float, zero_point: int) -> None:
    """Refuses an output quantisation other than the operator's fixed one."""
    if site.scale(site.output) != np.float32(scale) or site.zero_point(site.output) != zero_point:
        raise site.error(f"the output must have scale {scale} and zero point {zero_point}")


def _saturating_curve(site: Site, curve: Callable[[Array, int], Array], output_bits: int, offset: int) -> Kernel:
    """A curve on Q4 numbers; inputs beyond what Q4 holds give the least or greatest output."""
    by = multiplier(float(site.scale(site.input(0))) * 2.0**27)
    # CalculateInputRadius with 4 integer bits of 31.
    radius = math.floor(15 * 2.0**27 / 2.0 ** int(by.shifts))
    zero_point = site.zero_point(site.input(0))

    def rule(x: Array) -> Array:
        centred = x - zero_point
        inside = np.clip(centred, -radius, radius)
        values = divide_by_power(curve(multiply(inside, by), 4), 31 - output_bits) + offset
        values = np.where(centred <= -radius, -128, np.where(centred >= radius, 127, values))
        return np.clip(values, -128, 127)

    return unary(site, rule)


def sigmoid_integer(site: Site) -> Kernel:
    """Integer logistic, output scale 1/256, zero point -128. Specification: ``reference_integer_ops::Logistic``."""
    _need_output(site, 1 / 256, -128)
    return _saturating_curve(site, fixedpoint.logistic, 8, -128)


def tanh_integer(site: Site) -> Kernel:
    """Integer tanh, output scale 1/128, zero point 0. Specification: ``reference_integer_ops::Tanh``."""
    _need_output(site, 1 / 128, 0)
    return _saturating_curve(site, fixedpoint.tanh, 7, 0)


def gelu_integer(site: Site) -> Kernel:
    """Integer gelu, outside TFLM: the table of float64 gelu of each input, rounded halves away from zero."""
    scale_in, zero_in = float(site.scale(site.input(0))), site.zero_point(site.input(0))
    scale_out, zero_out = float(site.scale(site.output)), site.zero_point(site.output)
    approximate = site.op(Gelu).approximate
    low, high = integer_range(site.output)

    def rule(x: Array) -> Array:
        reals = scale_in * (x - zero_in)
        if approximate:
            values = _gelu_tanh(reals)
        else:
            values = np.array([real * 0.5 * math.erfc(-real * math.sqrt(0.5)) for real in reals.tolist()])
        rounded = np.array([round_away(value / scale_out) for value in values.tolist()], np.int64)
        return np.clip(rounded + zero_out, low, high)

    return unary(site, rule)
