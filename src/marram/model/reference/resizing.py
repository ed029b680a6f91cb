"""Resize of images, floats and integers."""

from __future__ import annotations

import math

import numpy as np

from marram.core.graph import Array
from marram.core.operators import Resize
from marram.model.reference.site import Kernel, Site

_UNIT = 1 << 10


def nearest_places(size_in: int, size_out: int, *, align_corners: bool, half_pixel_centers: bool) -> Array:
    """The source index of each output index, in float32 arithmetic. Specification: ``GetNearestNeighbor``."""
    aligned = align_corners and size_out > 1
    scale = np.float32(size_in - 1) / np.float32(size_out - 1) if aligned else np.float32(size_in) / np.float32(size_out)
    offset = np.float32(0.5 if half_pixel_centers else 0.0)
    places = (np.arange(size_out, dtype=np.float32) + offset) * scale
    rounded = np.floor(places.astype(np.float64) + 0.5) if align_corners else np.floor(places)
    return np.clip(rounded.astype(np.int64), 0, size_in - 1)


def _nearest(site: Site) -> Kernel:
    op = site.op(Resize)
    _, height, width, _ = site.input(0).shape
    flags = {"align_corners": op.align_corners, "half_pixel_centers": op.half_pixel_centers}
    rows = nearest_places(height, op.size[0], **flags)
    columns = nearest_places(width, op.size[1], **flags)
    return lambda x: (x[:, rows[:, None], columns[None, :]],)


def _float_scale(size_in: int, size_out: int, *, align_corners: bool) -> np.float32:
    if align_corners and size_out > 1:
        return np.float32(size_in - 1) / np.float32(size_out - 1)
    return np.float32(size_in) / np.float32(size_out)


def _float_line(op: Resize, size_in: int, size_out: int) -> tuple[Array, Array, Array]:
    """Lower index, upper index and the upper one's weight. Specification: ``ComputeInterpolationValues``."""
    scale = _float_scale(size_in, size_out, align_corners=op.align_corners)
    index = np.arange(size_out, dtype=np.float32)
    half = np.float32(0.5)
    places = (index + half) * scale - half if op.half_pixel_centers else index * scale
    lower = np.maximum(np.floor(places).astype(np.int64), 0)
    upper = np.minimum(np.ceil(places).astype(np.int64), size_in - 1)
    return lower, np.maximum(upper, 0), places - lower.astype(np.float32)


def _bilinear_float(site: Site) -> Kernel:
    """Float32 interpolation. Specification: ``reference_ops::ResizeBilinear``."""
    op = site.op(Resize)
    _, height, width, _ = site.input(0).shape
    top, bottom, down = _float_line(op, height, op.size[0])
    left, right, across = _float_line(op, width, op.size[1])
    down, across = down[:, None, None], across[:, None]
    one = np.float32(1)

    def kernel(x: Array) -> tuple[Array, ...]:
        above = x[:, top][:, :, left] * (one - across) + x[:, top][:, :, right] * across
        below = x[:, bottom][:, :, left] * (one - across) + x[:, bottom][:, :, right] * across
        return (above * (one - down) + below * down,)

    return kernel


def integer_line(op: Resize, size_in: int, size_out: int) -> tuple[Array, Array, Array]:
    """Lower index, upper index and the upper one's weight of 1024. ``ComputeInterpolationValuesInteger``."""
    aligned = op.align_corners and size_out > 1
    numerator, denominator = (size_in - 1, size_out - 1) if aligned else (size_in, size_out)
    scale = (_UNIT * numerator + denominator // 2) // denominator
    offset = scale // 2 - _UNIT // 2 if op.half_pixel_centers else 0
    places = [index * scale + offset for index in range(size_out)]
    lower = [max(math.trunc(place / _UNIT), 0) for place in places]
    upper = [min(math.trunc((place + _UNIT - 1) / _UNIT), size_in - 1) for place in places]
    weights = np.array(places, np.int64) - _UNIT * np.array(lower, np.int64)
    return np.array(lower), np.array(upper), weights


def _bilinear_integer(site: Site) -> Kernel:
    """Interpolation with 10-bit weights, halves away from zero. Specification: ``ResizeBilinearInteger``."""
    op = site.op(Resize)
    _, height, width, _ = site.input(0).shape
    top, bottom, down = integer_line(op, height, op.size[0])
    left, right, across = integer_line(op, width, op.size[1])
    down, across = down[:, None, None], across[:, None]
    dtype = np.dtype(site.output.dtype)

    def kernel(x: Array) -> tuple[Array, ...]:
        wide = x.astype(np.int64)
        above = wide[:, top][:, :, left] * (_UNIT - across) + wide[:, top][:, :, right] * across
        below = wide[:, bottom][:, :, left] * (_UNIT - across) + wide[:, bottom][:, :, right] * across
        total = above * (_UNIT - down) + below * down
        return ((np.sign(total) * ((np.abs(total) + (1 << 19)) >> 20)).astype(dtype),)

    return kernel


def resize_float(site: Site) -> Kernel:
    """Resize of float images."""
    return _nearest(site) if site.op(Resize).method == "nearest" else _bilinear_float(site)


def resize_integer(site: Site) -> Kernel:
    """Resize of integer images of one quantisation."""
    site.need_same_quantisation()
    return _nearest(site) if site.op(Resize).method == "nearest" else _bilinear_integer(site)
