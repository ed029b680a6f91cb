"""Convolution and transposed convolution, floats and integers, as matrix products of patches.

Specification of the integers: TFLM's ``reference_integer_ops::ConvPerChannel`` and ``TransposeConv``: products of
(input - zero point) and weights, int32 bias, requantisation for each channel, clamp.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.core.graph import Array
from marram.core.operators import Conv2D, Padding, Pair, TransposeConv2D
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

Centre = Callable[[Array], Array]


def padded(x: Array, padding: Padding, value: float = 0.0) -> Array:
    """Images (N,H,W,C) with rows and columns of ``value`` around them."""
    top, bottom, left, right = padding
    if not any(padding):
        return x
    samples, height, width, channels = x.shape
    out = np.full((samples, height + top + bottom, width + left + right, channels), value, x.dtype)
    out[:, top : top + height, left : left + width] = x
    return out


def windows(x: Array, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Array:
    """A view (N, OH, OW, KH, KW, C) of the windows of padded images (N,H,W,C)."""
    samples, height, width, channels = x.shape
    out_height = (height - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
    out_width = (width - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
    n, h, w, c = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        (samples, out_height, out_width, *kernel, channels),
        (n, h * stride[0], w * stride[1], h * dilation[0], w * dilation[1], c),
        writeable=False,
    )


def _patch_product(site: Site, matrices: Array, centre: Centre, finish: Finish) -> Kernel:
    """The kernel of a convolution whose weights are packed as (groups, KH * KW * C / groups, O / groups)."""
    op = site.op(Conv2D)
    kernel = site.input(1).shape[1:3]
    groups, depth, _ = matrices.shape
    _, out_height, out_width, channels = site.output.shape
    scratch = out_height * out_width * (groups * depth * matrices.itemsize + channels * 12)

    def work(x: Array) -> Array:
        patches = windows(padded(centre(x), op.padding), (kernel[0], kernel[1]), op.stride, op.dilation)
        shape = patches.shape[:3]
        if groups == 1:
            products = patches.reshape(-1, depth) @ matrices[0]
        else:
            parts = np.split(patches, groups, axis=-1)
            products = np.concatenate([p.reshape(-1, depth) @ m for p, m in zip(parts, matrices, strict=True)], axis=-1)
        return finish(products).reshape(*shape, channels)

    return lambda x, *_: (in_blocks(x, scratch, work),)


def _pack(weights: Array, groups: int, dtype: type[np.floating]) -> Array:
    """Weights (O,KH,KW,C/groups) as (groups, KH * KW * C / groups, O / groups)."""
    grouped = weights.reshape(groups, weights.shape[0] // groups, -1)
    return np.ascontiguousarray(grouped.transpose(0, 2, 1), dtype)


def conv2d_float(site: Site) -> Kernel:
    """Float32 convolution."""
    op = site.op(Conv2D)
    matrices = _pack(site.constant(1), op.groups, np.float32)
    return _patch_product(site, matrices, lambda x: x, float_finisher(site, op.activation))


def conv2d_integer(site: Site) -> Kernel:
    """Integer convolution. Specification: ``reference_integer_ops::ConvPerChannel``."""
    op = site.op(Conv2D)
    weights = integer_weights(site)
    dtype = product_dtype(site, weights, (1, 2, 3))
    zero_point = site.zero_point(site.input(0))
    finish = finisher(site, channel_multiplier(site, weights.shape[0]), op.activation)
    return _patch_product(site, _pack(weights, op.groups, dtype), lambda x: centred(x, zero_point, dtype), finish)


def _scattered_product(site: Site, weights: Array, centre: Centre, finish: Finish) -> Kernel:
    """The kernel of a transposed convolution: each input pixel adds its product with the weights to its window."""
    op = site.op(TransposeConv2D)
    channels, kernel_height, kernel_width, depth = weights.shape
    matrix = np.ascontiguousarray(weights.reshape(-1, depth).T)
    _, height, width, _ = site.output.shape
    top, bottom, left, right = op.padding
    pixels = site.input(0).size // depth
    scratch = matrix.itemsize * (pixels * matrix.shape[1] + 3 * site.output.size)

    def work(x: Array) -> Array:
        samples, rows, columns, _ = x.shape
        products = (centre(x).reshape(-1, depth) @ matrix).reshape(
            samples, rows, columns, channels, kernel_height, kernel_width
        )
        full = np.zeros((samples, height + top + bottom, width + left + right, channels), matrix.dtype)
        for ky in range(kernel_height):
            for kx in range(kernel_width):
                rows_hit = slice(ky, ky + (rows - 1) * op.stride[0] + 1, op.stride[0])
                columns_hit = slice(kx, kx + (columns - 1) * op.stride[1] + 1, op.stride[1])
                full[:, rows_hit, columns_hit] += products[..., ky, kx]
        return finish(full[:, top : top + height, left : left + width].copy())

    return lambda x, *_: (in_blocks(x, scratch, work),)


def transpose_conv2d_float(site: Site) -> Kernel:
    """Float32 transposed convolution."""
    finish = float_finisher(site, site.op(TransposeConv2D).activation)
    return _scattered_product(site, site.constant(1), lambda x: x, finish)


def transpose_conv2d_integer(site: Site) -> Kernel:
    """Integer transposed convolution. Specification: ``reference_integer_ops::TransposeConv``."""
    weights = integer_weights(site)
    dtype = product_dtype(site, weights, (1, 2, 3))
    zero_point = site.zero_point(site.input(0))
    finish = finisher(site, channel_multiplier(site, weights.shape[0]), site.op(TransposeConv2D).activation)
    return _scattered_product(site, weights.astype(dtype), lambda x: centred(x, zero_point, dtype), finish)
