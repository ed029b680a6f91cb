"""Operators that move values and compute none: reshape, transpose, concatenation, split, slice, pad. Any dtype."""

from __future__ import annotations

import math

import numpy as np

from marram.core.graph import Array
from marram.core.operators import Concat, Pad, Reshape, Slice, Split, Transpose
from marram.model.reference.arithmetic import integer_range, quantised
from marram.model.reference.site import Kernel, Site


def reshape(site: Site) -> Kernel:
    """Reshape; the samples' values are contiguous, so many samples multiply the leading axis."""
    shape = site.op(Reshape).shape
    size = site.input(0).size
    site.need_same_quantisation()
    if math.prod(shape) != size:
        raise site.error(f"{site.input(0).shape} cannot take shape {shape}")
    if not shape:
        return lambda x: (x.reshape(()),)
    return lambda x: (x.reshape(x.size // size * shape[0] if size else shape[0], *shape[1:]),)


def transpose(site: Site) -> Kernel:
    """Permutation of the axes."""
    permutation = site.op(Transpose).permutation
    site.need_same_quantisation()
    return lambda x: (np.ascontiguousarray(x.transpose(permutation)),)


def concat(site: Site) -> Kernel:
    """Concatenation. Specification: TFLM's ``CONCATENATION`` copies, so all quantisations must be the same."""
    axis = site.op(Concat).axis
    site.need_same_quantisation()
    return lambda *arrays: (np.concatenate(arrays, axis=axis),)


def split(site: Site) -> Kernel:
    """Split into parts."""
    op = site.op(Split)
    site.need_same_quantisation()
    borders = np.cumsum(op.sizes)[:-1]
    return lambda x: tuple(np.ascontiguousarray(part) for part in np.split(x, borders, axis=op.axis))


def takes_whole(op: Slice, axis: int, size: int) -> bool:
    """Whether a slice takes one axis as it is."""
    return op.begin[axis] == 0 and op.end[axis] >= size and op.strides[axis] == 1


def strided_slice(site: Site) -> Kernel:
    """Strided slice."""
    op = site.op(Slice)
    site.need_same_quantisation()
    shape = site.input(0).shape
    index = tuple(
        slice(None) if takes_whole(op, axis, size) else slice(op.begin[axis], op.end[axis], op.strides[axis])
        for axis, size in enumerate(shape)
    )
    return lambda x: (np.ascontiguousarray(x[index]),)


def pad(site: Site) -> Kernel:
    """Constant padding; the value is quantised with the tensor's scale, so real 0 is the zero point."""
    op = site.op(Pad)
    site.need_same_quantisation()
    source = site.input(0)
    value: float = op.value
    if source.quantisation is not None:
        low, high = integer_range(source)
        value = min(max(quantised(op.value, site.scale(source), site.zero_point(source)), low), high)

    def kernel(x: Array) -> tuple[Array, ...]:
        return (np.pad(x, op.paddings, constant_values=np.asarray(value, x.dtype)),)

    return kernel
