"""Sum, difference and product of two tensors, floats and integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.core.graph import Array
from marram.core.operators import Activation, Add, Mul, Sub
from marram.model.reference.arithmetic import (
    activation_range,
    clamp_float,
    multiplier,
    multiply,
)
from marram.model.reference.lookup import binary
from marram.model.reference.site import Kernel, Site


def _float(operation: Callable[[Array, Array], Array], activation: Activation) -> Kernel:
    return lambda a, b: (clamp_float(operation(a, b), activation),)


def add_float(site: Site) -> Kernel:
    """The sum a + b."""
    return _float(np.add, site.op(Add).activation)


def sub_float(site: Site) -> Kernel:
    """The difference a - b."""
    return _float(np.subtract, site.op(Sub).activation)


def mul_float(site: Site) -> Kernel:
    """The product a * b."""
    return _float(np.multiply, site.op(Mul).activation)


def _sum(site: Site, sign: int, activation: Activation) -> Kernel:
    """The sum a + sign * b on a common scale of ``left`` more bits, then requantised; factors in double."""
    left = 15 if site.output.dtype == "int16" else 20
    scale_a, scale_b = float(site.scale(site.input(0))), float(site.scale(site.input(1)))
    twice = 2 * max(scale_a, scale_b)
    by_a, by_b = multiplier(scale_a / twice), multiplier(scale_b / twice)
    factor = twice / (2**left * float(site.scale(site.output)))
    if factor >= 1:
        raise site.error(f"the output scale is less than 2**-{left} of twice the greater input scale")
    by_sum = multiplier(factor)
    zero_a, zero_b = site.zero_point(site.input(0)), site.zero_point(site.input(1))
    zero_out = site.zero_point(site.output)
    low, high = activation_range(site, activation)
    dtype = np.dtype(site.output.dtype)

    def rule(a: Array, b: Array) -> Array:
        total = multiply((a - zero_a) << left, by_a) + sign * multiply((b - zero_b) << left, by_b)
        return np.asarray(np.clip(multiply(total, by_sum) + zero_out, low, high))

    if dtype == np.int8:
        return binary(site, rule)
    return lambda a, b: (rule(a.astype(np.int64), b.astype(np.int64)).astype(dtype),)


def add_integer(site: Site) -> Kernel:
    """Integer sum. Specification: ``CalculateOpDataAdd`` and ``AddElementwise``."""
    return _sum(site, 1, site.op(Add).activation)


def sub_integer(site: Site) -> Kernel:
    """Integer difference, its factors as the sum's. Specification: ``SubElementwise``."""
    return _sum(site, -1, site.op(Sub).activation)


def mul_integer(site: Site) -> Kernel:
    """Integer product. Specification: ``CalculateOpDataMul`` and ``reference_integer_ops::MulElementwise``."""
    scale_a, scale_b = float(site.scale(site.input(0))), float(site.scale(site.input(1)))
    by = multiplier(scale_a * scale_b / float(site.scale(site.output)))
    zero_a, zero_b = site.zero_point(site.input(0)), site.zero_point(site.input(1))
    zero_out = site.zero_point(site.output)
    low, high = activation_range(site, site.op(Mul).activation)
    return binary(site, lambda a, b: np.clip(multiply((a - zero_a) * (b - zero_b), by) + zero_out, low, high))
