"""What convolution and dense layers share: exact products in floats, and the way from accumulators to outputs.

A sum of products of integers is exact in floats, whatever its order, while the sum of the magnitudes stays below 2**24
(float32) or 2**53 (float64). The bound is proven for each node from its actual weights, so BLAS may do the work.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.core.graph import Array
from marram.core.operators import Activation
from marram.model.reference.arithmetic import (
    Multiplier,
    activation_range,
    clamp_float,
    integer_range,
    multiplier,
    multiply_wide,
    rescaler,
)
from marram.model.reference.site import Site

BLOCK_BYTES = 1024 * 1024
"""Scratch that one step of a kernel works on: within one core's second-level cache."""

Finish = Callable[[Array], Array]


def exact_dtype(magnitude: int) -> type[np.float32 | np.float64] | None:
    """The smallest float in which sums of that total magnitude are exact; None where there is none."""
    if magnitude < 2**24:
        return np.float32
    return np.float64 if magnitude < 2**53 else None


def reach(site: Site) -> int:
    """The greatest magnitude of the first input less its zero point."""
    low, high = integer_range(site.input(0))
    zero_point = site.zero_point(site.input(0))
    return max(zero_point - low, high - zero_point)


def product_dtype(site: Site, weights: Array, axes: tuple[int, ...]) -> type[np.float32 | np.float64]:
    """The float for products of the input with ``weights``, whose ``axes`` are summed."""
    sums = np.abs(weights.astype(np.int64)).sum(axis=axes)
    found = exact_dtype(int(sums.max(initial=0)) * reach(site))
    if found is None:
        raise site.error("the layer's sums do not fit 53 bits")
    return found


def integer_weights(site: Site) -> Array:
    """The layer's int8 weights, zero point 0."""
    weights = site.constant(1)
    if weights.dtype != np.int8:
        raise site.error(f"weights {site.input(1).name} must be int8 beside integer activations, got {weights.dtype}")
    if any(site.quantisation(site.input(1)).zero_points):
        raise site.error(f"weights {site.input(1).name} must have zero point 0")
    return weights


def integer_bias(site: Site) -> Array | None:
    """The layer's bias: int32 beside int8 activations, int64 beside int16 ones."""
    bias = site.optional_constant(2)
    wanted = "int32" if site.input(0).dtype == "int8" else "int64"
    if bias is not None and bias.dtype != np.dtype(wanted):
        raise site.error(f"bias {site.input(2).name} must be {wanted} beside {site.input(0).dtype}, got {bias.dtype}")
    return bias


def channel_multiplier(site: Site, channels: int) -> Multiplier:
    """One factor for each channel, in double: input scale * weight scale / output scale.

    Specification: ``PopulateConvolutionQuantizationParams`` (kernel_util.cc); a dense layer of one scale computes the same.
    """
    scales = site.quantisation(site.input(1)).scales
    if len(scales) not in {1, channels}:
        raise site.error(f"weights {site.input(1).name} have {len(scales)} scales for {channels} channels")
    scale_in, scale_out = float(site.scale(site.input(0))), float(site.scale(site.output))
    factors = [scale_in * float(np.float32(scale)) / scale_out for scale in scales]
    return multiplier(factors * (channels // len(scales)))


def finisher(site: Site, by: Multiplier, activation: Activation) -> Finish:
    """From exact accumulators (..., channels) to the output's integers: bias, requantisation, clamp.

    Beside int16 activations the accumulator is 64 bits wide and rounded once (TFLM's 16x8 kernels).
    """
    bias = integer_bias(site)
    low, high = activation_range(site, activation)
    zero_point = site.zero_point(site.output)
    dtype = np.dtype(site.output.dtype)
    if site.input(0).dtype == "int8":
        return rescaler(by, bias=bias, zero_point=zero_point, low=low, high=high, dtype=dtype)
    if zero_point or site.zero_point(site.input(0)):
        raise site.error("int16 activations must have zero point 0")
    addend = np.zeros((), np.int64) if bias is None else bias.astype(np.int64)

    def wide(accumulators: Array) -> Array:
        return np.clip(multiply_wide(accumulators.astype(np.int64) + addend, by), low, high).astype(dtype)

    return wide


def float_finisher(site: Site, activation: Activation) -> Finish:
    """From float32 products to outputs: bias and activation, in place."""
    bias = site.optional_constant(2)

    def finish(products: Array) -> Array:
        if bias is not None:
            products += bias
        return clamp_float(products, activation)

    return finish


def centred(x: Array, zero_point: int, dtype: type[np.floating]) -> Array:
    """The integers less their zero point, as exact floats."""
    values = x.astype(dtype)
    if zero_point:
        values -= dtype(zero_point)
    return values


def in_blocks(x: Array, scratch_bytes: int, work: Callable[[Array], Array]) -> Array:
    """``work`` on so many samples at a time that its scratch, given for one sample, stays near ``BLOCK_BYTES``."""
    step = max(1, BLOCK_BYTES // max(1, scratch_bytes))
    if len(x) <= step:
        return work(x)
    return np.concatenate([work(x[start : start + step]) for start in range(0, len(x), step)])
