"""Average and maximum pooling, floats and integers. Padded places are not counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from marram.core.graph import Array
from marram.core.operators import AveragePool2D, MaxPool2D
from marram.model.reference.arithmetic import activation_range, clamp_float
from marram.model.reference.convolution import padded, windows
from marram.model.reference.site import Kernel, Site

Pool = AveragePool2D | MaxPool2D


def _reduce_windows(op: Pool, x: Array, operation: Callable[[Array, Array], Array]) -> Array:
    """The windows' values of padded images under an associative operation: along columns first, then along rows."""
    across = windows(x, (1, op.kernel[1]), (1, op.stride[1]))
    columns = across[:, :, :, 0, 0].copy()
    for kx in range(1, op.kernel[1]):
        operation(columns, across[:, :, :, 0, kx], out=columns)  # type: ignore[call-arg]
    down = windows(columns, (op.kernel[0], 1), (op.stride[0], 1))
    rows = down[:, :, :, 0, 0].copy()
    for ky in range(1, op.kernel[0]):
        operation(rows, down[:, :, :, ky, 0], out=rows)  # type: ignore[call-arg]
    return rows


def _counts(site: Site, op: Pool) -> Array:
    """How many places of the image each window holds, int64 (1, OH, OW, 1)."""
    _, height, width, _ = site.input(0).shape
    inside = padded(np.ones((1, height, width, 1), np.int64), op.padding)
    counts = _reduce_windows(op, inside, np.add)
    if not counts.all():
        raise site.error("a pooling window lies wholly in the padding")
    return counts


def average_pool2d_float(site: Site) -> Kernel:
    """Float32 average pooling."""
    op = site.op(AveragePool2D)
    counts = _counts(site, op).astype(np.float32)
    return lambda x: (clamp_float(_reduce_windows(op, padded(x, op.padding), np.add) / counts, op.activation),)


def average_pool2d_integer(site: Site) -> Kernel:
    """Integer average, halves away from zero. Specification: ``reference_integer_ops::AveragePool``."""
    op = site.op(AveragePool2D)
    site.need_same_quantisation()
    counts = _counts(site, op)
    low, high = activation_range(site, op.activation)
    dtype = np.dtype(site.output.dtype)

    def kernel(x: Array) -> tuple[Array, ...]:
        sums = _reduce_windows(op, padded(x.astype(np.int32), op.padding), np.add).astype(np.int64)
        means = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
        return (np.clip(means, low, high).astype(dtype),)

    return kernel


def max_pool2d_float(site: Site) -> Kernel:
    """Float32 maximum pooling."""
    op = site.op(MaxPool2D)
    _counts(site, op)
    return lambda x: (clamp_float(_reduce_windows(op, padded(x, op.padding, -np.inf), np.maximum), op.activation),)


def max_pool2d_integer(site: Site) -> Kernel:
    """Integer maximum. Specification: ``reference_integer_ops::MaxPool``."""
    op = site.op(MaxPool2D)
    site.need_same_quantisation()
    _counts(site, op)
    low, high = activation_range(site, op.activation)
    least = np.iinfo(site.output.dtype).min

    def kernel(x: Array) -> tuple[Array, ...]:
        return (np.clip(_reduce_windows(op, padded(x, op.padding, least), np.maximum), low, high),)

    return kernel
