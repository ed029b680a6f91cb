"""Records of output channels, 16 at a time, as the host kernels read them, and the C literal of ``marram_scaling``."""

from __future__ import annotations

import msgspec
import numpy as np

from marram.compile.c.kernels.host.scaling import float_scaling
from marram.compile.c.place import ConstantArray
from marram.compile.c.requantisation import Requantisation
from marram.core.graph import Array

LANES = 16
_FIXED_ROWS = 6
_INTEGER = -1
_TWO_SIDED = 256


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """How a layer's sums become bytes: ``records`` for the constant of that name, ``literal`` for the kernel's argument."""

    records: ConstantArray
    literal: str


def scaling(by: Requantisation, weights: Array, order: Array) -> Scaling:
    """Records of channels in the order of the sums.

    Args:
        by: requantisation of each output channel.
        weights: int8 (O, K), the weights that each channel sums.
        order: int (N,), N a multiple of 16: which channel each place of the records has, -1 for none.
    """
    wide = weights.astype(np.int64)
    least = by.bias + np.minimum(wide * -128, wide * 127).sum(axis=1)
    greatest = by.bias + np.maximum(wide * -128, wide * 127).sum(axis=1)
    flipped = (by.bias - 128 * wide.sum(axis=1)).astype(np.int32).astype(np.int64)
    rows = [by.bias, flipped, by.multiplier, by.shift]
    found = float_scaling(by, least, greatest)
    form = _INTEGER
    if found is None:
        rows += [np.zeros_like(by.bias)] * 2
    else:
        rows += [found.factor.view(np.int32).astype(np.int64), found.addend.view(np.int32).astype(np.int64)]
        for place, correction in zip(found.exceptions, found.corrections, strict=True):
            rows += [place, correction]
        form = len(found.exceptions) + (0 if found.one_sided else _TWO_SIDED)
    table = np.stack([*rows])
    placed = np.where(order >= 0, table[:, np.maximum(order, 0)], 0)
    values = placed.reshape(len(rows), -1, LANES).transpose(1, 0, 2).ravel()
    return Scaling(
        records=ConstantArray(name="records", c_type="int32_t", values=values, align_bytes=64),
        literal=f"((marram_scaling){{.records = @records@, .rows = {len(rows)}, .form = {form}, .zero = {by.zero_point}, "
        f".low = {by.low}, .high = {by.high}}})",
    )


def in_a_row(channels: int) -> Array:
    """The order of channels as they come, filled to a multiple of 16."""
    order = np.full(-(-channels // LANES) * LANES, -1)
    order[:channels] = np.arange(channels)
    return order
