"""Resize of 8-bit images in whole numbers, so that every machine gets the same pixels.

Each output row (and column) is a weighted sum of input rows; the weights are 16.16 fixed-point numbers that sum to exactly
65536. Columns are summed first and rounded to 8.8, rows second and rounded to 8 bits; both roundings are half up. In C every
step fits 32 unsigned bits. Here the sums run in float64, where whole numbers below 2**53 are exact in any order.

- ``area``: an output pixel is the mean of the input area that it covers.
- ``bilinear``: two neighbours, pixel centres at half coordinates, edges repeated. It aliases when it shrinks by more than two.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from marram.core.errors import DataError
from marram.core.graph import Array

ResizeMethod = Literal["area", "bilinear"]
ONE = 1 << 16


def resize(images: Array, *, size: tuple[int, int], method: ResizeMethod = "area") -> Array:
    """Resize uint8 images (N, H, W, C) to uint8 (N, *size, C); the same size gives the same pixels.

    Raises:
        DataError: not uint8, or not four axes.
    """
    if images.dtype != np.uint8 or images.ndim != 4:
        raise DataError(f"resize takes uint8 images (N, H, W, C), not {images.dtype} {images.shape}")
    height, width = images.shape[1:3]
    if (height, width) == size or images.shape[0] == 0:
        return images if (height, width) == size else np.zeros((0, *size, images.shape[3]), np.uint8)
    if 0 in {height, width, *size}:
        raise DataError(f"an image of {height} x {width} pixels cannot be resized to {size[0]} x {size[1]}")
    columns = weights(width, size[1], method).astype(np.float64)
    rows = weights(height, size[0], method).astype(np.float64)
    return np.stack([_resize_one(image, rows, columns) for image in images])


def weights(source: int, target: int, method: ResizeMethod) -> Array:
    """The 16.16 weights of one axis: int64 (target, source), each row summing to 65536."""
    return _area_weights(source, target) if method == "area" else _bilinear_weights(source, target)


def _resize_one(image: Array, rows: Array, columns: Array) -> Array:
    narrow = np.matmul(columns, image.astype(np.float64))  # (H, width, C), at most 255 * 2**16
    narrow = np.floor((narrow + 128.0) / 256.0)  # 8.8
    flat = rows @ narrow.reshape(len(narrow), -1)
    pixels: Array = np.floor((flat + float(1 << 23)) / float(1 << 24))
    return pixels.astype(np.uint8).reshape(len(rows), len(columns), image.shape[-1])


def _area_weights(source: int, target: int) -> Array:
    """Overlap of output pixel i, [i * source, (i + 1) * source), with input pixel j, [j * target, (j + 1) * target)."""
    edges = np.arange(source + 1, dtype=np.int64) * target
    begin = np.arange(target, dtype=np.int64)[:, None] * source
    covered = np.clip(edges[None, :] - begin, 0, source)
    # Rounding the running sum, not each weight, makes every row sum to exactly one.
    return np.diff((covered * (2 * ONE) + source) // (2 * source), axis=1)


def _bilinear_weights(source: int, target: int) -> Array:
    table = np.zeros((target, source), np.int64)
    position = (2 * np.arange(target, dtype=np.int64) + 1) * source - target  # in units of 1 / (2 * target)
    position = np.clip(position, 0, 2 * target * (source - 1))
    left = position // (2 * target)
    fraction = ((position - left * 2 * target) * 2 * ONE + 2 * target) // (4 * target)
    index = np.arange(target)
    table[index, left] += ONE - fraction
    table[index, np.minimum(left + 1, source - 1)] += fraction
    return table
