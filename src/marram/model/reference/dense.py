"""Fully connected layers and batched matrix products, floats and integers.

Specification of the integers: TFLM's ``reference_integer_ops::FullyConnected``, ``FullyConnectedPerChannel`` and
``reference_ops::BatchMatMul``. The factor is input scale * weight scale / output scale, in double; releases before 2026
rounded the product of a dense layer's two scales to float32 first, which changes about one output in 100,000.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.core.graph import Array, Tensor
from marram.core.operators import Dense, MatMul
from marram.model.reference.arithmetic import Multiplier, integer_range, multiplier, rescaler
from marram.model.reference.linear import (
    Finish,
    centred,
    channel_multiplier,
    exact_dtype,
    finisher,
    float_finisher,
    in_blocks,
    integer_weights,
    product_dtype,
)
from marram.model.reference.site import Kernel, Site


def _row_product(site: Site, weights: Array, centre: Callable[[Array], Array], finish: Finish) -> Kernel:
    """The kernel, for float weights (O,I)."""
    channels, depth = weights.shape
    matrix = np.ascontiguousarray(weights.T)
    scratch = (site.input(0).size + 3 * site.output.size) * weights.itemsize

    def work(x: Array) -> Array:
        products = centre(x).reshape(-1, depth) @ matrix
        return finish(products).reshape(*x.shape[:-1], channels)

    return lambda x, *_: (in_blocks(x, scratch, work),)


def dense_float(site: Site) -> Kernel:
    """Float32 dense layer."""
    return _row_product(site, site.constant(1), lambda x: x, float_finisher(site, site.op(Dense).activation))


def _product_multiplier(site: Site) -> Multiplier:
    """The one factor of a product of two tensors."""
    product = float(site.scale(site.input(0))) * float(site.scale(site.input(1)))
    return multiplier(product / float(site.scale(site.output)))


def dense_integer(site: Site) -> Kernel:
    """Integer dense layer. Specification: ``reference_integer_ops::FullyConnected`` and ``FullyConnectedPerChannel``."""
    weights = integer_weights(site)
    dtype = product_dtype(site, weights, (1,))
    zero_point = site.zero_point(site.input(0))
    finish = finisher(site, channel_multiplier(site, weights.shape[0]), site.op(Dense).activation)
    return _row_product(site, weights.astype(dtype), lambda x: centred(x, zero_point, dtype), finish)


def _oriented(values: Array, transposed: bool) -> Array:  # noqa: FBT001  # the operator's own flag
    return np.swapaxes(values, -1, -2) if transposed else values


def matmul_float(site: Site) -> Kernel:
    """Float32 batched matrix product."""
    op = site.op(MatMul)
    return lambda a, b: (np.matmul(_oriented(a, op.transpose_a), _oriented(b, op.transpose_b)),)


def _span(site: Site, tensor: Tensor) -> int:
    low, high = integer_range(tensor)
    return max(high - site.zero_point(tensor), site.zero_point(tensor) - low)


def matmul_integer(site: Site) -> Kernel:
    """Integer batched matrix product. Specification: ``reference_ops::BatchMatMul`` on int8."""
    op = site.op(MatMul)
    a, b, out = site.input(0), site.input(1), site.output
    if {a.dtype, b.dtype, out.dtype} != {"int8"}:
        raise site.error(f"integer matmul takes int8, got {a.dtype}, {b.dtype} and {out.dtype}")
    depth = a.shape[-2 if op.transpose_a else -1]
    dtype = exact_dtype(depth * _span(site, a) * _span(site, b))
    if dtype is None:
        raise site.error("the product's sums do not fit 53 bits")
    zero_a, zero_b = site.zero_point(a), site.zero_point(b)
    low, high = integer_range(out)
    finish = rescaler(
        _product_multiplier(site), bias=None, zero_point=site.zero_point(out), low=low, high=high, dtype=np.dtype(np.int8)
    )

    def kernel(x: Array, y: Array) -> tuple[Array, ...]:
        left = _oriented(centred(x, zero_a, dtype), op.transpose_a)
        right = _oriented(centred(y, zero_b, dtype), op.transpose_b)
        return (finish(np.matmul(left, right)),)

    return kernel
