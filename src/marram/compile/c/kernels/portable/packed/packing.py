"""Weights of few bits in bytes."""

from __future__ import annotations

import numpy as np

from marram.compile.c.kernels.portable.kinds import Ending, Kind
from marram.compile.c.place import ConstantArray, Place
from marram.compile.c.requantisation import requantisation
from marram.core.graph import Array
from marram.core.operators import Activation
from marram.model.reference.linear import integer_weights


def packed(values: Array, bits: int) -> Array:
    """Signed integers of ``bits`` bits (2 or 4) as uint8, the first in the lowest bits; the last byte is filled with zeros."""
    per_byte = 8 // bits
    flat = values.astype(np.int64).ravel() & ((1 << bits) - 1)
    padded = np.zeros(-(-len(flat) // per_byte) * per_byte, np.int64)
    padded[: len(flat)] = flat
    shifts = bits * np.arange(per_byte)
    return np.asarray((padded.reshape(-1, per_byte) << shifts).sum(axis=1), np.uint8)


def packed_weights(place: Place) -> ConstantArray:
    """The layer's weights in ``place.weight_bits`` bits each.

    Raises:
        UserError: they do not fit.
    """
    weights = integer_weights(place.site)
    bits = place.weight_bits
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if int(weights.min(initial=0)) < low or int(weights.max(initial=0)) > high:
        raise place.site.error(f"its weights do not fit {bits} bits", f"They must lie between {low} and {high}.")
    return ConstantArray(name="weights", c_type="uint8_t", values=packed(weights, bits))


def ending(place: Place, activation: Activation, channel_axis: int) -> Ending:
    """Weights of few bits, int32 (O, 2) biases and multipliers and int8 shifts: who packs weights counts bytes.

    Raises:
        UserError: weights that do not fit, or an accumulator that can leave int32.
    """
    by = requantisation(place.site, activation, channel_axis=channel_axis)
    channels = np.stack([by.bias, by.multiplier], axis=1).ravel()
    return Ending(
        arrays=(
            packed_weights(place),
            ConstantArray(name="channels", c_type="int32_t", values=channels),
            ConstantArray(name="shifts", c_type="int8_t", values=by.shift.astype(np.int8)),
        ),
        arguments=f"{place.weight_bits}, @weights@, @channels@, @shifts@",
        zero_in=f"{place.site.zero_point(place.site.input(0))}, ",
        limits=f"{by.zero_point}, {by.low}, {by.high}",
    )


PACKED = Kind(name="packed", ending=ending, costs=(10.0, 14.0, 8.0))
