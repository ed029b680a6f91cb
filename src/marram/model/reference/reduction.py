"""Mean and sum over axes, floats and integers."""

from __future__ import annotations

import math

import numpy as np

from marram.core.graph import Array
from marram.core.operators import Mean, Sum
from marram.model.reference.arithmetic import INT32_MAX, Multiplier, integer_range, multiplier, rescaler
from marram.model.reference.site import Kernel, Site


def mean_float(site: Site) -> Kernel:
    """Float32 mean."""
    op = site.op(Mean)
    return lambda x: (np.asarray(x.mean(axis=op.axes, keepdims=op.keep_dims, dtype=np.float32)),)


def sum_float(site: Site) -> Kernel:
    """Float32 sum."""
    op = site.op(Sum)
    return lambda x: (np.asarray(x.sum(axis=op.axes, keepdims=op.keep_dims, dtype=np.float32)),)


def divided(by: Multiplier, count: int) -> Multiplier:
    """The factor divided by a count, in integers, truncated. Specification: ``QuantizedMeanOrSum`` (reduce.h)."""
    value, power = int(by.values), int(by.shifts)
    shift = min(count.bit_length() - 1, 32, 31 + power)
    return Multiplier(values=np.array((value << shift) // count, np.int64), shifts=np.array(power - shift, np.int64))


def _reduced(site: Site, axes: tuple[int, ...], *, keep_dims: bool, mean: bool) -> Kernel:
    source, out = site.input(0), site.output
    if source.dtype != "int8" or out.dtype != "int8":
        raise site.error(f"integer reductions take int8, got {source.dtype} and {out.dtype}")
    count = math.prod(source.shape[axis] for axis in axes)
    if count * 255 > INT32_MAX:
        raise site.error("the sum does not fit 32 bits")
    by = multiplier(float(site.scale(source)) / float(site.scale(out)))
    low, high = integer_range(out)
    finish = rescaler(
        divided(by, count) if mean else by,
        bias=np.array(-site.zero_point(source) * count),
        zero_point=site.zero_point(out),
        low=low,
        high=high,
        dtype=np.dtype(np.int8),
    )

    def kernel(x: Array) -> tuple[Array, ...]:
        return (np.asarray(finish(np.asarray(x.sum(axis=axes, keepdims=keep_dims, dtype=np.int64)))),)

    return kernel


def mean_integer(site: Site) -> Kernel:
    """Integer mean. Specification: ``reference_ops::QuantizedMeanOrSum``."""
    op = site.op(Mean)
    return _reduced(site, op.axes, keep_dims=op.keep_dims, mean=True)


def sum_integer(site: Site) -> Kernel:
    """Integer sum. Specification: ``reference_ops::QuantizedMeanOrSum``."""
    op = site.op(Sum)
    return _reduced(site, op.axes, keep_dims=op.keep_dims, mean=False)
