"""Softmax over the last axis, floats and integers."""

from __future__ import annotations

import math

import numpy as np

from marram.core.graph import Array
from marram.core.operators import Softmax
from marram.model.reference import fixedpoint
from marram.model.reference.arithmetic import divide_by_power, high_mul, multiplier, multiply
from marram.model.reference.lookup import need_int8
from marram.model.reference.site import Kernel, Site

_SCALED_BITS = 5
_SUM_BITS = 12


def softmax_float(site: Site) -> Kernel:
    """Float32 softmax."""
    beta = np.float32(site.op(Softmax).beta)

    def kernel(x: Array) -> tuple[Array, ...]:
        exponentials = np.exp((x - x.max(axis=-1, keepdims=True)) * beta)
        return (exponentials / exponentials.sum(axis=-1, keepdims=True),)

    return kernel


def exponential_table(scale: float, beta: float) -> Array:
    """exp(beta * scale * -d) as Q0 for d = 0..255, int64; 0 where the difference is beyond what Q5 holds.

    Specification: ``PreprocessSoftmaxScaling``, ``CalculateInputRadius`` and ``exp_on_negative_values``.
    """
    by = multiplier(min(beta * scale * 2.0 ** (31 - _SCALED_BITS), 2.0**31 - 1))
    radius = math.floor((2**_SCALED_BITS - 1) * 2.0 ** (31 - _SCALED_BITS) / 2.0 ** int(by.shifts))
    differences = -np.arange(256, dtype=np.int64)
    values = fixedpoint.exp_of_negative(multiply(np.maximum(differences, -radius), by), _SCALED_BITS)
    return np.where(differences >= -radius, values, 0)


def softmax_integer(site: Site) -> Kernel:
    """Integer softmax, output scale 1/256, zero point -128. Specification: ``reference_ops::Softmax`` on int8."""
    need_int8(site)
    if site.scale(site.output) != np.float32(1 / 256) or site.zero_point(site.output) != -128:
        raise site.error("the output must have scale 1/256 and zero point -128")
    table = exponential_table(float(site.scale(site.input(0))), float(np.float32(site.op(Softmax).beta)))
    addends = divide_by_power(table, _SUM_BITS)

    def kernel(x: Array) -> tuple[Array, ...]:
        wide = x.astype(np.int64)
        distance = wide.max(axis=-1, keepdims=True) - wide
        inverse, bits_over = fixedpoint.reciprocal(addends[distance].sum(axis=-1, keepdims=True), _SUM_BITS)
        values = divide_by_power(high_mul(inverse, table[distance]), bits_over + 31 - 8)
        return (np.clip(values - 128, -128, 127).astype(np.int8),)

    return kernel
