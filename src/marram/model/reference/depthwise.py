"""Depthwise convolution, floats and integers: one multiplication and addition of whole images for each kernel tap.

Specification of the integers: TFLM's ``reference_integer_ops::DepthwiseConvPerChannel``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.core.graph import Array
from marram.core.operators import DepthwiseConv2D
from marram.model.reference.convolution import padded, windows
from marram.model.reference.linear import (
    Finish,
    centred,
    channel_multiplier,
    finisher,
    float_finisher,
    in_blocks,
    integer_weights,
    product_dtype,
)
from marram.model.reference.site import Kernel, Site


def _tap_sum(site: Site, weights: Array, centre: Callable[[Array], Array], finish: Finish) -> Kernel:
    """The kernel, for float weights (1,KH,KW,C*M)."""
    op = site.op(DepthwiseConv2D)
    _, kernel_height, kernel_width, channels = weights.shape
    depth = site.input(0).shape[3]
    multiplicity = channels // depth
    # Where neighbouring windows are neighbouring pixels, a row of outputs is one run of memory under every tap.
    in_rows = op.stride[1] == 1 and multiplicity == 1
    taps = weights.reshape(kernel_height, kernel_width, depth, multiplicity)
    if in_rows:
        taps = np.tile(taps[..., 0], site.output.shape[2])
    scratch = site.input(0).size * weights.itemsize + site.output.size * (2 * weights.itemsize + 8)

    def work(x: Array) -> Array:
        image = np.ascontiguousarray(padded(centre(x), op.padding))  # _rows needs pixels that touch; indexing may reorder
        views = windows(image, (kernel_height, kernel_width), op.stride, op.dilation)
        shape = views.shape[:3]
        total = np.zeros((*shape[:2], taps.shape[2]) if in_rows else (*shape, depth, multiplicity), weights.dtype)
        product = np.empty_like(total)
        for ky in range(kernel_height):
            for kx in range(kernel_width):
                view = views[:, :, :, ky, kx]
                np.multiply(_rows(view) if in_rows else view[..., None], taps[ky, kx], out=product)
                total += product
        return finish(total.reshape(*shape, channels))

    return lambda x, *_: (in_blocks(x, scratch, work),)


def _rows(view: Array) -> Array:
    """A view (N,H,W,C) whose pixels touch as (N, H, W * C), without a copy."""
    samples, height, width, channels = view.shape
    return np.lib.stride_tricks.as_strided(view, (samples, height, width * channels), (*view.strides[:2], view.strides[3]))


def depthwise_conv2d_float(site: Site) -> Kernel:
    """Float32 depthwise convolution."""
    finish = float_finisher(site, site.op(DepthwiseConv2D).activation)
    return _tap_sum(site, site.constant(1), lambda x: x, finish)


def depthwise_conv2d_integer(site: Site) -> Kernel:
    """Integer depthwise convolution. Specification: ``reference_integer_ops::DepthwiseConvPerChannel``."""
    weights = integer_weights(site)
    dtype = product_dtype(site, weights, (0, 1, 2))
    zero_point = site.zero_point(site.input(0))
    finish = finisher(site, channel_multiplier(site, weights.shape[3]), site.op(DepthwiseConv2D).activation)
    return _tap_sum(site, weights.astype(dtype), lambda x: centred(x, zero_point, dtype), finish)
