"""int16 activations: from 64-bit accumulators to outputs at build time."""

from __future__ import annotations

import numpy as np

from marram.compile.c.kernels.portable.kinds import Ending, Kind
from marram.compile.c.place import ConstantArray, Place
from marram.core.graph import Array
from marram.core.operators import Activation
from marram.model.reference.arithmetic import activation_range
from marram.model.reference.linear import channel_multiplier, integer_bias, integer_weights

_MOST = 1 << 47  # times a multiplier of 15 bits it fits 63 bits


def finish(place: Place, activation: Activation, channel_axis: int) -> Ending:
    """Weights, int64 biases (O), int32 (O, 2) 16-bit multipliers and shifts, and the clamp of a layer.

    Raises:
        UserError: zero points other than 0, a factor beyond 2**14, or sums that can leave 47 bits.
    """
    site = place.site
    if {site.input(0).dtype, site.output.dtype} != {"int16"}:
        raise site.error("this layer takes and gives int16")
    if site.zero_point(site.input(0)) or site.zero_point(site.output):
        raise site.error("int16 activations must have zero point 0")
    weights = np.moveaxis(integer_weights(site).astype(np.int64), channel_axis, 0)
    sums = np.abs(weights.reshape(len(weights), -1)).sum(axis=1)
    given = integer_bias(site)
    bias = np.zeros(len(weights), np.int64) if given is None else given
    if (np.abs(bias) + (sums << 15) >= _MOST).any():
        raise site.error("an accumulator can reach 2**47", "Fewer inputs to this layer.")
    low, high = activation_range(site, activation)
    return Ending(
        arrays=(
            ConstantArray(name="weights", c_type="int8_t", values=site.constant(1).ravel()),
            ConstantArray(name="bias", c_type="int64_t", values=bias, align_bytes=8),
            ConstantArray(name="factors", c_type="int32_t", values=_factors(place, len(weights))),
        ),
        arguments="@weights@, @bias@, @factors@",
        zero_in="",
        limits=f"{low}, {high}",
    )


def _factors(place: Place, channels: int) -> Array:
    """The multiplier of 15 fractional bits and the right shift of each channel (``multiply_wide`` of the reference)."""
    by = channel_multiplier(place.site, channels)
    if (by.shifts > 14).any():
        raise place.site.error("a factor is beyond 2**14", "A larger output scale.")
    reduced = np.where(by.values < 0x7FFF0000, (by.values + (1 << 15)) >> 16, 0x7FFF)
    return np.stack([np.broadcast_to(reduced, channels), np.broadcast_to(15 - by.shifts, channels)], axis=1).ravel()


INT16 = Kind(name="int16", ending=finish, costs=(12.0, 14.0, 10.0))
