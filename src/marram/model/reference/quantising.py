"""Between reals and integers: quantise, requantise, dequantise."""

from __future__ import annotations

import numpy as np

from marram.core.graph import Array, Tensor
from marram.model.reference.arithmetic import integer_range, multiplier, rescaler
from marram.model.reference.site import Kernel, Site


def _affine(site: Site, tensor: Tensor) -> tuple[Array, Array]:
    """Scales (float32) and zero points (int64), shaped to broadcast against the tensor."""
    found = site.quantisation(tensor)
    scales = np.array(found.scales, np.float32)
    zero_points = np.array(found.zero_points, np.int64)
    if found.axis is None or len(scales) == 1:
        return scales[:1], zero_points[:1]
    shape = [1] * len(tensor.shape)
    shape[found.axis] = len(scales)
    return scales.reshape(shape), zero_points.reshape(shape)


def _from_float(site: Site) -> Kernel:
    """round(x / scale) + zero point, float32 division, halves away from zero. ``reference_ops::AffineQuantize``."""
    scales, zero_points = _affine(site, site.output)
    low, high = integer_range(site.output)
    dtype = np.dtype(site.output.dtype)

    def kernel(x: Array) -> tuple[Array, ...]:
        quotient = (x / scales).astype(np.float64)
        rounded = np.trunc(quotient + np.copysign(0.5, quotient)) + zero_points
        return (np.clip(rounded, low, high).astype(dtype),)

    return kernel


def _from_integer(site: Site) -> Kernel:
    """Another scale, by the doubly rounded product. ``reference_ops::Requantize``."""
    source, out = site.input(0), site.output
    by = multiplier(float(site.scale(source)) / float(site.scale(out)))
    low, high = integer_range(out)
    finish = rescaler(
        by,
        bias=np.array(-site.zero_point(source)),
        zero_point=site.zero_point(out),
        low=low,
        high=high,
        dtype=np.dtype(out.dtype),
    )
    return lambda x: (finish(x),)


def quantise(site: Site) -> Kernel:
    """Float to integer, or integer to integer of another scale."""
    return _from_float(site) if site.input(0).dtype == "float32" else _from_integer(site)


def dequantise(site: Site) -> Kernel:
    """The reals: scale * (integer - zero point) in float32. Specification: ``reference_ops::Dequantize``."""
    scales, zero_points = _affine(site, site.input(0))
    return lambda x: ((x.astype(np.int64) - zero_points).astype(np.float32) * scales,)
