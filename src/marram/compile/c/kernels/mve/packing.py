"""Weights and output constants in the order in which the MVE kernels read them."""

from __future__ import annotations

import numpy as np

from marram.compile.c.geometry import Geometry
from marram.compile.c.place import ConstantArray, Place
from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array

LANES = 16
STATE_BYTES = 128
"""What the scratch of a convolution begins with: MARRAM_MVE_DATA."""

SIGNED, CLAMPED = 1, 2


def mode_of(by: Requantisation) -> int:
    """Which steps of requantisation the layer needs: the bits MARRAM_MVE_SIGNED and MARRAM_MVE_CLAMPED."""
    signed = SIGNED if by.low < by.zero_point and bool((by.shift < 0).any()) else 0
    return signed | (CLAMPED if by.low > -128 or by.high < 127 else 0)


def need_right_shifts(place: Place, by: Requantisation) -> None:
    """Refuses factors of 1 and more, which nearly no layer has.

    Raises:
        UserError: a channel's factor needs a shift to the left.
    """
    if (by.shift > 0).any():
        raise place.site.error("a channel's scale grows from accumulator to output")


def padded(values: Array, axis: int, multiple: int) -> Array:
    """Zeros after the end of an axis up to a multiple of its length."""
    widths = [(0, 0)] * values.ndim
    widths[axis] = (0, -values.shape[axis] % multiple)
    return np.pad(values, widths)


def channel_groups(by: Requantisation) -> ConstantArray:
    """int32: for each 4 outputs 4 folded biases, 4 multipliers, 4 shifts."""
    values = padded(np.stack([by.bias, by.multiplier, by.shift]), 1, 4).reshape(3, -1, 4)
    return ConstantArray(name="channels", c_type="int32_t", values=values.transpose(1, 0, 2).ravel())


def product_weights(weights: Array) -> ConstantArray:
    """int8 weights (O, K) for ``mve/product.h``: 4 outputs as two halves of 2, 16 of depth at a time."""
    whole = padded(padded(weights, 0, 4), 1, LANES)
    values = whole.reshape(len(whole) // 4, 2, 2, -1, LANES).transpose(0, 2, 3, 1, 4)
    return ConstantArray(name="weights", c_type="int8_t", values=values.ravel(), align_bytes=16)


def dense_weights(weights: Array) -> ConstantArray:
    """int8 weights (O, K) for ``mve/dense.h``: 4 outputs side by side, 16 of depth at a time."""
    whole = padded(padded(weights, 0, 4), 1, LANES)
    values = whole.reshape(len(whole) // 4, 4, -1, LANES).transpose(0, 2, 1, 3)
    return ConstantArray(name="weights", c_type="int8_t", values=values.ravel(), align_bytes=16)


def layer_literal(by: Requantisation, depth: int) -> str:
    """The initialiser of ``marram_mve_layer``."""
    return f"{{@weights@, @channels@, {depth}, {len(by.bias)}, {by.zero_point}, {by.low}, {by.high}}}"


def window_literal(sizes: Geometry) -> str:
    """The initialiser of a ``marram_window`` inside of a constant."""
    return "{" + ", ".join(f".{name} = {getattr(sizes, name)}" for name in sizes.__struct_fields__) + "}"
